import pytest

from bootcpy.errors import ImageContentError
from bootcpy.model.install.tmpfiles import root_ssh_tmpfiles
from tests.refusals import refused


def test_root_ssh_tmpfiles_is_one_line_of_base64() -> None:
    assert root_ssh_tmpfiles("ssh-ed25519 A\nssh-rsa B\n", home="var/roothome") == (
        "f~ /var/roothome/.ssh/authorized_keys 600 root root - c3NoLWVkMjU1MTkgQQpzc2gtcnNhIEIK\n"
    )


@pytest.mark.parametrize(
    "home",
    [
        "x\nf+ /etc/shadow - - - - root::",
        "a b",
        "%h",
        "../etc",
        "var/../etc",
        "",
        "a//b",
        "a\x1b[2J",
        "ü",
        "x" * 5000 + "\n",
    ],
)
def test_root_ssh_tmpfiles_takes_no_home_that_says_more_than_a_path(home: str) -> None:
    with refused(
        ImageContentError,
        "the image's link /root leads to '",
        hint="let /root link to /var/roothome, or omit --root-ssh-authorized-keys",
    ) as e:
        root_ssh_tmpfiles("ssh-ed25519 A\n", home=home)
    assert e.value.message.isprintable()
    assert len(e.value.message) < 200
