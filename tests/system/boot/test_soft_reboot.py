"""Soft reboots, as far as they go without one: preparing them, and refusing where none is possible.

With a libostree that cannot do it, every test is of the refusal.
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from gi.repository import OSTree  # its version was chosen by the host

from tests.system.support.booted_host import OWN_PROCESSES, BootedHost
from tests.system.support.installed_host import installed
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, KERNEL, Node, write_image

pytestmark = IN_CONTAINER

_CONF = "usr/lib/ostree/prepare-root.conf"
_ON: dict[str, Node] = {_CONF: "[composefs]\nenabled = yes\n[sysroot]\nreadonly = true\n"}
_OFF: dict[str, Node] = {_CONF: "[composefs]\nenabled = no\n"}
# An older libostree may have been built without composefs, and deploy no such image.
_BASE = BASE | (_ON if OSTree.check_version(2025, 3) else _OFF)
_IS_SOFT = "preparing for soft-reboot..."
# One bootc after the other in the same mount namespace, where what is prepared is mounted.
_IN_TURN = """
import json, os, subprocess, sys
answers = []
for words in json.loads(sys.argv[1]):
    ended = subprocess.run(
        [sys.executable, "-m", "bootcpy", *words], capture_output=True, text=True
    )
    version = None
    if os.path.ismount("/run/nextroot"):
        version = open("/run/nextroot/usr/lib/version").read()
    answers.append((ended.returncode, ended.stdout, ended.stderr, version))
print(json.dumps(answers))
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said, and which version the next reboot would enter as a soft one."""

    status: int
    stdout: str
    stderr: str
    prepared: str | None


@pytest.fixture
def host(tmp_path: Path, layout: Path) -> Iterator[BootedHost]:
    """A host on composefs that runs version 1."""
    write_image(layout, [_BASE | {"usr/lib/version": "1"}])
    with installed(tmp_path, layout, kargs=["rw"]) as host:
        _boot(host)
        yield host


def _boot(host: BootedHost) -> None:
    host.boot()
    # Where the program in the initramfs keeps the mounts below a composefs.
    (host.run_directory / "ostree/.private").mkdir(parents=True)


def _publish(layout: Path, version: str, files: dict[str, Node] | None = None) -> None:
    new: dict[str, Node] = {"usr/lib/version": version}
    write_image(layout, [_BASE, new | (files or {})], version=version)


def _in_turn(host: BootedHost, *commands: tuple[str, ...]) -> list[Answer]:
    finished = subprocess.run(
        host.command(*OWN_PROCESSES, "python3", "-c", _IN_TURN, json.dumps(commands)),
        env=host.environment(),
        text=True,
        capture_output=True,
        check=True,
    )
    return [Answer(*answer) for answer in json.loads(finished.stdout)]


def _entry(host: BootedHost, slot: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = host.status()["status"][slot]
    return found


def _refuses(host: BootedHost) -> bool:
    """Tell whether this libostree can do none; then the command must say so and do nothing."""
    if OSTree.check_version(2025, 3):
        return False
    for words in (("upgrade",), ("switch", "--transport", "oci", "/x"), ("rollback",)):
        finished = host.bootc(*words, "--soft-reboot=required")
        version = f"{OSTree.YEAR_VERSION}.{OSTree.RELEASE_VERSION}"
        assert finished.returncode == 1
        assert finished.stderr == (
            f"error: a soft reboot needs libostree 2025.3 or newer; this is {version}\n"
            "hint: use --soft-reboot=auto, or leave it out\n"
        )
    assert _entry(host, "staged") is None
    return True


def test_an_update_with_the_same_kernel_is_prepared(host: BootedHost, layout: Path) -> None:
    _publish(layout, "2")
    if _refuses(host):
        return
    required, again, held = _in_turn(
        host,
        ("upgrade", "--soft-reboot=required"),
        ("upgrade", "--soft-reboot=auto"),
        ("upgrade", "--download-only"),
    )
    assert (required.status, required.prepared) == (0, "2")
    assert f"Staged deployment is soft-reboot capable, {_IS_SOFT}\n" in required.stdout
    assert (again.status, again.prepared) == (0, "2")
    assert (held.status, held.prepared) == (0, None)
    staged = _entry(host, "staged")
    assert staged is not None
    assert staged["softRebootCapable"] is True


def test_what_is_held_back_is_not_prepared(host: BootedHost, layout: Path) -> None:
    _publish(layout, "2")
    if _refuses(host):
        return
    held, released = _in_turn(
        host,
        ("upgrade", "--download-only", "--soft-reboot=auto"),
        ("upgrade", "--from-downloaded", "--soft-reboot=required"),
    )
    assert (held.status, held.prepared) == (0, None)
    assert _IS_SOFT not in held.stdout
    assert (released.status, released.prepared) == (0, "2")


def test_a_rollback_is_prepared_and_taken_back(host: BootedHost, layout: Path) -> None:
    _publish(layout, "2")
    if _refuses(host):
        return
    _in_turn(host, ("upgrade",))
    assert host.finalize() == 0
    _boot(host)
    _publish(layout, "3")
    update, rollback, back, auto, refused = _in_turn(
        host,
        ("upgrade", "--soft-reboot=required"),
        ("rollback",),
        ("rollback",),
        ("rollback", "--soft-reboot=auto"),
        ("rollback", "--soft-reboot=required"),
    )
    assert (update.status, update.prepared) == (0, "3")
    # The update that was prepared is discarded, so the next reboot must not enter it.
    assert (rollback.status, rollback.prepared) == (0, None)
    assert (back.status, back.prepared) == (0, None)
    assert f"Rollback deployment is soft-reboot capable, {_IS_SOFT}\n" in auto.stdout
    assert auto.prepared == "1"
    # Asked for again, it would be the current deployment.
    assert refused.status == 1
    assert "Soft reboot was required but rollback deployment is not soft-reboot" in refused.stderr
    assert host.status()["status"]["rollbackQueued"] is True


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({f"{KERNEL}/vmlinuz": "another"}, "its kernel or initramfs is different"),
        (
            {"usr/lib/bootc/kargs.d/1.toml": 'kargs = ["a=1"]'},
            "its kernel arguments differ: +a=1",
        ),
        (_OFF, "its prepare-root.conf does not turn composefs on"),
    ],
    ids=["kernel", "kargs", "composefs"],
)
def test_what_cannot_be_entered_is_refused_before_it_is_staged(
    host: BootedHost, layout: Path, files: dict[str, Node], why: str
) -> None:
    _publish(layout, "2", files)
    if _refuses(host):
        return
    required, auto, again = _in_turn(
        host,
        ("upgrade", "--soft-reboot=required"),
        ("upgrade", "--soft-reboot=auto"),
        ("upgrade", "--soft-reboot=required"),
    )
    message = "Soft reboot was required but staged deployment is not soft-reboot capable"
    assert required.status == 1
    assert f"error: {message}: {why}\nhint: nothing was staged; use" in required.stderr
    assert (auto.status, auto.prepared) == (0, None)
    assert auto.stdout.startswith("Queued for next boot: ")
    assert again.status == 1
    assert again.stderr.endswith(
        f"error: {message}\nhint: use --soft-reboot=auto, or leave it out\n"
    )
    staged = _entry(host, "staged")
    assert staged is not None
    assert staged["softRebootCapable"] is False


def test_a_host_without_composefs_does_ordinary_reboots(host: BootedHost, layout: Path) -> None:
    _publish(layout, "2", _OFF)
    if _refuses(host):
        return
    _in_turn(host, ("upgrade",))
    assert host.finalize() == 0
    _boot(host)
    _publish(layout, "3")
    required, auto = _in_turn(
        host, ("upgrade", "--soft-reboot=required"), ("upgrade", "--soft-reboot=auto")
    )
    assert required.stderr == (
        "error: a soft reboot needs composefs, which this system does not use\n"
        "hint: use --soft-reboot=auto, or leave it out\n"
    )
    assert (auto.status, auto.prepared) == (0, None)


def test_a_soft_reboot_that_cannot_be_prepared_is_an_ordinary_one(
    host: BootedHost, layout: Path
) -> None:
    _publish(layout, "2")
    if _refuses(host):
        return
    (host.run_directory / "ostree/.private").rmdir()
    auto, required = _in_turn(
        host, ("upgrade", "--soft-reboot=auto"), ("upgrade", "--soft-reboot=required")
    )
    assert (auto.status, auto.prepared) == (0, None)
    assert "cannot prepare a soft reboot: " in auto.stdout
    assert auto.stdout.count("; the next reboot is a normal one\n") == 1
    assert required.status == 1
    assert "error: cannot prepare a soft reboot: " in required.stderr
