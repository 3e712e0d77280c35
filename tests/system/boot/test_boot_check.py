"""An update that does not arrive: who is told, on hosts that seem booted."""

import fcntl
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.support.booted_host import BootedHost
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, Files, write_image

pytestmark = IN_CONTAINER

_TMPFILES = Path(__file__).parents[3] / "bootcpy/data/usr/lib/tmpfiles.d/bootc.conf"
_NO_REASON = "the system was not shut down normally, for example because of a power cut"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[BootedHost]:
    """A host that follows a plain ostree ref."""
    host = BootedHost.make(tmp_path)
    host.fake_program("systemctl")
    host.deploy(host.commit(), "[origin]\nrefspec=debian:stable\n")
    host.boot()
    yield host
    host.release()


def _stage(host: BootedHost, layout: Path, files: Files | None = None) -> str:
    """Stage an image with `files` added, and return its digest."""
    digest = write_image(layout, [BASE | dict(files or {})])
    finished = host.bootc("switch", "--transport", "oci", str(layout))
    assert finished.returncode == 0, finished.stderr
    return digest


def _boot(host: BootedHost) -> "subprocess.CompletedProcess[str]":
    """Boot, do what systemd-tmpfiles and ostree-boot-complete do then, and check."""
    host.boot()
    subprocess.run(
        host.command("systemd-tmpfiles", "--create", str(_TMPFILES)),
        env=host.environment(),
        check=True,
    )
    (host.root / "boot/ostree/finalize-failure.stamp").unlink(missing_ok=True)
    return host.bootc("internals", "boot-check")


def _recorded(host: BootedHost) -> dict[str, object] | None:
    record = host.root / "ostree/bootc/staged.json"
    if not record.exists():
        return None
    content: dict[str, object] = json.loads(record.read_text(encoding="utf-8"))
    return content


def _greeting(host: BootedHost) -> str:
    greeting = host.run_directory / "motd.d/50-bootc"
    return greeting.read_text(encoding="utf-8") if greeting.exists() else ""


def test_an_update_that_arrives_is_forgotten(host: BootedHost, layout: Path) -> None:
    digest = _stage(host, layout)
    recorded = _recorded(host)
    assert recorded is not None
    assert (recorded["image"], recorded["digest"]) == (f"oci:{layout}", digest)
    assert host.bootc("status").stderr == ""
    assert host.finalize() == 0
    finished = _boot(host)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert _recorded(host) is None
    assert _greeting(host) == ""


def test_what_another_command_stages_while_the_check_waits_is_kept(
    host: BootedHost, layout: Path
) -> None:
    _stage(host, layout)
    assert host.finalize() == 0
    host.boot()
    record = host.root / "ostree/bootc/staged.json"
    text = record.read_text(encoding="utf-8")
    later = text.replace('"serial": 0', '"serial": 7')
    assert later != text
    lock = os.open(host.root / "ostree/lock", os.O_RDWR | os.O_CREAT)
    fcntl.fcntl(lock, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
    record.unlink()
    os.mkfifo(record)  # so that it is known when the record was read
    with subprocess.Popen(
        host.command(sys.executable, "-m", "bootcpy", "internals", "boot-check"),
        env=host.environment(),
    ) as checking:
        record.write_text(text, encoding="utf-8")
        record.unlink()
        record.write_text(later, encoding="utf-8")
        os.close(lock)
        assert checking.wait(60) == 0
    assert record.read_text(encoding="utf-8") == later


@pytest.mark.parametrize("rolls_back", [False, True])
def test_after_a_soft_reboot_no_reboot_is_required(
    host: BootedHost, layout: Path, *, rolls_back: bool
) -> None:
    _stage(host, layout)
    assert host.finalize() == 0
    if rolls_back:
        assert _boot(host).returncode == 0
        assert host.bootc("rollback").returncode == 0
    required = host.run_directory / "reboot-required"
    assert required.exists()
    host.soft_boot()
    finished = host.bootc("internals", "boot-check")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert _recorded(host) is None
    assert not required.exists()


def test_a_power_failure_is_told_until_something_else_happens(
    host: BootedHost, layout: Path
) -> None:
    digest = _stage(host, layout)
    recorded = _recorded(host)
    assert recorded is not None
    lost = (
        f"the update to oci:{layout} ({digest}), staged {recorded['staged_at']}, "
        f"was not applied: {_NO_REASON}"
    )
    hint = "run the same `bootc switch` to stage it again"
    for _boot_number in range(2):
        finished = _boot(host)
        assert finished.returncode == 1
        assert finished.stderr == f"error: {lost}\nhint: {hint}\n"
        assert _greeting(host) == f"bootc: {lost}; {hint}.\n"
        status = host.bootc("status", "--format=humanreadable")
        assert (status.returncode, status.stderr) == (0, f"warning: {lost}\nhint: {hint}\n")
    _stage(host, layout)
    assert host.bootc("status").stderr == ""
    assert host.finalize() == 0
    assert _boot(host).returncode == 0
    assert host.bootc("status").stderr == ""


def test_a_failed_finalization_is_told_with_its_reason(host: BootedHost, layout: Path) -> None:
    digest = _stage(host, layout, {"etc/late/x": "1"})
    checksum = host.status()["status"]["booted"]["ostree"]["checksum"]
    etc = host.root / f"ostree/deploy/default/deploy/{checksum}.0/etc"
    (etc / "late").write_text("after the check\n", encoding="utf-8")
    assert host.finalize() != 0
    finished = _boot(host)
    assert finished.returncode == 1
    message, _, hint = finished.stderr.partition("\n")
    assert message.startswith(f"error: the update to oci:{layout} ({digest}), staged ")
    reason = message.partition(" was not applied: ")[2]
    assert "late" in reason
    # libostree's own note lasts for one boot; ours does until the next change.
    again = _boot(host)
    assert again.stderr == finished.stderr
    assert host.bootc("status").stderr == f"warning: {message[len('error: ') :]}\n{hint}"
    assert (_recorded(host) or {})["reason"] == reason


def test_a_lost_update_is_forgotten_when_there_is_none_any_more(
    host: BootedHost, layout: Path
) -> None:
    _stage(host, layout)
    host.reboot()
    write_image(layout, version="2")
    assert host.bootc("upgrade").returncode == 0
    assert _boot(host).returncode == 1
    write_image(layout)
    assert host.bootc("upgrade").stdout == "No update available.\n"
    assert host.bootc("status").stderr == ""
    assert _recorded(host) is None


def test_a_lost_switch_is_not_forgotten_for_another_image(
    host: BootedHost, layout: Path, tmp_path: Path
) -> None:
    _stage(host, layout)
    host.reboot()
    _stage(host, tmp_path / "other", {"usr/other": "x"})
    assert _boot(host).returncode == 1
    assert host.bootc("upgrade").stdout == "No update available.\n"
    assert "was not applied" in host.bootc("status").stderr


def test_the_greeting_says_what_is_staged(host: BootedHost, layout: Path) -> None:
    def published() -> str:
        assert host.bootc("internals", "publish-motd").returncode == 0
        return _greeting(host)

    assert published() == ""
    _stage(host, layout)
    name = f"ostree-unverified-image:oci:{layout}"
    assert published() == f"bootc: {name} is staged; the next boot runs it.\n"
    host.reboot()
    write_image(layout, version="2")
    assert host.bootc("upgrade", "--download-only").returncode == 0
    assert _recorded(host) is None
    assert published() == (
        f"bootc: {name} is downloaded; `bootc upgrade --from-downloaded` releases it.\n"
    )
    assert host.bootc("upgrade", "--from-downloaded").returncode == 0
    assert _recorded(host) is not None
    assert host.bootc("rollback").returncode == 0
    assert _recorded(host) is None
    assert published() == ""


def test_a_record_of_a_later_version_is_no_reason_to_fail(host: BootedHost, layout: Path) -> None:
    _stage(host, layout)
    (host.root / "ostree/bootc/staged.json").write_text("{}", encoding="utf-8")
    status = host.bootc("status")
    assert status.returncode == 0
    assert "the record of what was staged is malformed" in status.stderr


def test_another_deployment_chosen_in_the_menu_is_told(host: BootedHost, layout: Path) -> None:
    _stage(host, layout)
    assert host.finalize() == 0
    booted = (host.run_directory / "ostree-booted").read_bytes()
    host.boot()
    (host.run_directory / "ostree-booted").write_bytes(booted)
    finished = host.bootc("internals", "boot-check")
    assert finished.returncode == 0, finished.stderr
    assert "is installed, but another deployment was booted" in _greeting(host)
    assert "is installed, but another deployment was booted" in host.bootc("status").stderr
