"""`bootc container prepare` in real builds: no guest boots, but podman, apt and dracut run."""

from pathlib import Path

import pytest

from bootcpy.errors import BootcpyError
from tools import containers, image

REFERENCE = "localhost/bootcpy-test-derived:latest"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "page.html").write_text("hello\n", encoding="utf-8")
    return tmp_path


def build(context: Path, *steps: str) -> str:
    """Build an image from the project's own by `steps`, and return its reference."""
    containerfile = context / "Containerfile"
    text = "\n".join((f"FROM {image.REFERENCE}", *steps, ""))
    containerfile.write_text(text, encoding="utf-8")
    return image.build(REFERENCE, containerfile=containerfile, context=context).reference


def in_image(reference: str, script: str) -> list[str]:
    return containers.run(reference, ["sh", "-euc", script]).splitlines()


@pytest.mark.usefixtures("built_image")
def test_image_is_what_a_host_boots() -> None:
    said = in_image(
        image.REFERENCE,
        """
        ls /usr/lib/modules | wc -l
        for file in vmlinuz initramfs.img; do test -s /usr/lib/modules/*/$file; done
        find /boot -mindepth 1
        find /var /opt/ /root/ -xdev -type f
        cat /etc/machine-id
        ls /etc/ssh | grep host_ || true
        cat /etc/apt/sources.list
        readlink /ostree /home /root /opt /var/lib/dpkg
        dpkg-query --show --showformat '${Version}\n' bash | grep -c .
        """,
    )
    assert said == [
        "1",
        "uninitialized",
        "sysroot/ostree",
        "var/home",
        "var/roothome",
        "usr/lib/opt",
        "../../usr/lib/sysimage/dpkg",
        "1",
    ]


@pytest.mark.usefixtures("built_image")
def test_derived_image_installs_packages_and_is_prepared_again(context: Path) -> None:
    reference = build(
        context,
        "RUN apt-get update && apt-get install -y --no-install-recommends cowsay cron"
        " && apt-get dist-clean",
        "COPY page.html /var/www/page.html",
        "RUN mkdir -p /opt/acme && echo tool >/opt/acme/tool",
        "RUN bootc container prepare 2>/first && bootc container prepare 2>/second",
    )
    said = in_image(
        reference,
        """
        systemctl is-enabled cron ssh podman.socket || true
        find /etc/systemd | sort >/before
        systemctl preset-all --preset-mode=enable-only 2>/dev/null  # as the first boot does
        find /etc/systemd | sort | diff /before - && echo presets changed nothing
        dpkg-query --show --showformat '${Status}\n' cowsay
        /usr/games/cowsay -l | grep -c default
        cat /opt/acme/tool /usr/lib/opt/acme/tool
        find /var /boot -xdev -type f
        cat /usr/share/factory/var/www/page.html
        grep -c '^C /var/www/page.html' /usr/lib/tmpfiles.d/bootc-var.conf
        grep -c 'kept the initramfs' /first
        echo second: $(cut -d' ' -f1-3 /second)
        """,
    )
    assert said[:4] == ["enabled", "enabled", "disabled", "presets changed nothing"]
    said = said[4:]
    assert said[:6] == ["install ok installed", "1", "tool", "tool", "hello", "1"]
    assert said[6:] == ["1", said[7]]
    assert said[7].startswith("second: kept kernel ")
    assert said[7].endswith(" kept the initramfs:")  # and nothing more was done


@pytest.mark.usefixtures("built_image")
def test_everything_comes_back_in_an_empty_var(context: Path) -> None:
    # In a build without privileges some lines fail, none of them in /var.
    emptied = "RUN rm -rf /var/* && { systemd-tmpfiles --create --boot || true; }"
    reference = build(context, emptied)
    said = in_image(
        reference,
        """
        dpkg-query --show --showformat '${Status}\n' bash
        stat -c %a:%U /var/roothome /var/cache/apt/archives/partial /var/tmp
        test -e /root/.bashrc
        """,
    )
    assert said == ["install ok installed", "700:root", "700:_apt", "1777:root"]


@pytest.mark.usefixtures("built_image")
def test_the_program_of_the_units_is_written_where_pip_left_none(context: Path) -> None:
    prepare = "python3 -m bootcpy container prepare"
    reference = build(
        context,
        f"RUN rm /usr/bin/bootc && {prepare} 2>/first && {prepare} 2>/second",
        "RUN echo own >/usr/bin/bootc && rm /usr/lib/systemd/system/bootc-boot-check.service"
        f" && {prepare} 2>/third && mv /usr/bin/bootc /own && {prepare}",
    )
    said = in_image(
        reference,
        """
        bootc --version | cut -d' ' -f1
        grep -c 'wrote /usr/bin/bootc: what the units of bootc run' /first
        grep -c 'wrote /' /second || true
        cut -d: -f1 /third | grep wrote
        cat /own
        """,
    )
    assert said == [
        "bootc",
        "1",
        "0",
        "wrote /usr/lib/systemd/system/bootc-boot-check.service",
        "own",
    ]


@pytest.mark.usefixtures("built_image")
@pytest.mark.parametrize(
    ("step", "message"),
    [
        pytest.param(
            "RUN rm /usr/lib/modules/*/vmlinuz && bootc container prepare",
            "no kernel",
            id="no-kernel",
        ),
        pytest.param(
            "RUN : >/boot/vmlinuz-1.2.3 && bootc container prepare",
            "more than one kernel: 1.2.3, ",
            id="two-kernels",
        ),
        pytest.param(
            "RUN rm /usr/lib/ostree/ostree-prepare-root && bootc container prepare",
            "/usr/lib/ostree/ostree-prepare-root or dracut's module for it is not installed",
            id="no-prepare-root",
        ),
        pytest.param(
            "RUN mkdir /lib32 && bootc container prepare",
            "this root file system is not usr-merged: /lib32",
            id="not-usr-merged",
        ),
    ],
)
def test_refuses(
    context: Path, step: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BootcpyError):
        build(context, step)
    assert f"error: {message}" in capsys.readouterr().err
