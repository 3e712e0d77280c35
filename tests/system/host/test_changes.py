"""What all changes of a host have in common: the lock, rights, and what stays as it is."""

import fcntl
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from tests.system.support.booted_host import BootedHost
from tests.system.support.installed_host import answer
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, write_image

pytestmark = IN_CONTAINER


def test_a_second_change_waits_and_names_the_first(host: BootedHost) -> None:
    held = host.sysroot()
    held.lock()
    second = subprocess.Popen(
        host.command("python3", "-m", "bootcpy", "rollback"),
        env=host.environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert second.stderr is not None
    line = second.stderr.readline()
    held.unlock()
    _, rest = second.communicate(timeout=60)
    assert f"Waiting for sysroot lock held by process {os.getpid()} (" in line
    assert "No rollback available" in rest
    assert second.returncode == 1


@pytest.mark.parametrize("name", [".lock", "tmp"])
def test_who_waits_for_the_repository_says_for_whom_and_can_be_stopped(
    host: BootedHost, layout: Path, name: str
) -> None:
    write_image(layout, [BASE], version="2")
    held = os.open(host.root / "ostree/repo" / name, os.O_RDONLY if name == "tmp" else os.O_RDWR)
    if name == "tmp":
        fcntl.flock(held, fcntl.LOCK_EX)
    else:
        lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(held, fcntl.F_OFD_SETLK, lock)
    with subprocess.Popen(
        host.command("python3", "-m", "bootcpy", "upgrade"),
        env=host.environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as waits:
        assert waits.stderr is not None
        for line in waits.stderr:
            if "waiting for the lock" in line:
                break
        else:
            pytest.fail("nothing was said")
        waits.terminate()
        assert waits.wait(30) == 143
    assert f" held by process {os.getpid()} (" in line
    os.close(held)
    assert any(line.startswith("Queued for next boot") for line in answer(host, "upgrade"))


def test_a_missing_deployment_directory_is_named(host: BootedHost, layout: Path) -> None:
    write_image(layout, [BASE], version="2")
    answer(host, "upgrade")
    host.reboot()
    checksum = host.status()["status"]["rollback"]["ostree"]["checksum"]
    lost = host.root / f"ostree/deploy/default/deploy/{checksum}.0"
    subprocess.run(["chattr", "-f", "-i", lost], check=False)
    shutil.rmtree(lost)
    for words in (["status"], ["rollback"]):
        finished = host.bootc(*words)
        assert finished.returncode == 1
        assert finished.stderr.startswith("error: the deployments of this system cannot be read: ")
        assert "Parsing deployment /ostree/boot." in finished.stderr


def test_changes_are_refused_in_a_container(host: BootedHost) -> None:
    finished = subprocess.run(
        host.command("env", "container=podman", "python3", "-m", "bootcpy", "upgrade"),
        env=host.environment(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert finished.returncode == 1
    assert finished.stderr.startswith(
        "error: Detected container; this command requires a booted host system.\n"
    )


def test_changes_leave_the_hosts_sysroot_read_only(host: BootedHost, layout: Path) -> None:
    write_image(layout, version="2")
    script = "python3 -m bootcpy upgrade >&2 || exit 9; touch /sysroot/x"
    finished = host.run("sh", "-c", script)
    assert finished.returncode == 1, finished.stderr
    assert "Read-only file system" in finished.stderr


def test_usr_overlay_becomes_ostree(host: BootedHost) -> None:
    calls = host.fake_program("ostree")
    assert host.bootc("usr-overlay").returncode == 0
    assert host.bootc("usroverlay", "--read-only").returncode == 0
    assert calls.read_text(encoding="utf-8") == "admin unlock\nadmin unlock --transient\n"
