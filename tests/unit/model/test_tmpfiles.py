from bootcpy.model.tmpfiles import root_ssh_tmpfiles


def test_root_ssh_tmpfiles_is_one_line_of_base64() -> None:
    assert root_ssh_tmpfiles("ssh-ed25519 A\nssh-rsa B\n", home="var/roothome") == (
        "f~ /var/roothome/.ssh/authorized_keys 600 root root - c3NoLWVkMjU1MTkgQQpzc2gtcnNhIEIK\n"
    )
