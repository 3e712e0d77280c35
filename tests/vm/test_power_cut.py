"""The power fails at the worst moments of an update: the host boots, and the update succeeds later.

What an orderly shutdown writes is recorded as well, so that the disk can be looked at, and
booted, as it was at any moment in between.
"""

import bisect
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.layers import file, noise, sha256, tar
from tests.vm.conftest import Resume
from tests.vm.derived_images import derive
from tests.vm.updates import digests, failed_units, push, trust, wait_until_started
from tools import console, image, power_cut, qemu, steps
from tools.boot_menu import BootMenu, read_boot_menu
from tools.guest import Guest
from tools.installed_disk import run_on_root
from tools.registry import Registry

_BASE, _NAME = "os:below-cut", "os:cut"
_SMALL = tar(file("usr/lib/small", b"whole\n"))
_LARGE_BYTES = 64 << 20
_LARGE = tar(file("usr/lib/large", noise(1, _LARGE_BYTES)))
_DEPLOYMENTS = "/ostree/deploy/default/deploy"
_FINALIZED = "Stopped ostree-finalize-staged.ser"
_PATIENCE_S = 300
_NO_POWER = "the system was not shut down normally, for example because of a power cut"
_LOST = "journalctl --boot --output=cat MESSAGE_ID=6d1275ef0d0e43b893296e469b64b660"


@pytest.mark.slow
def test_the_power_is_cut(
    built_image: image.BuiltImage, registry: Registry, resume: Resume, results: Path
) -> None:
    push(built_image, registry, _BASE)
    update = derive(registry, _BASE, _NAME, [_SMALL, _LARGE])
    switch = f"bootc switch --quiet {registry.from_guest(_NAME)}"
    as_installed = {"staged": None, "booted": built_image.digest, "rollback": None}
    with resume() as guest:
        (installed,) = _deployments(guest)
        trust(guest, registry)
        guest.run("sync")
        _cut_during_the_pull(guest, switch)

        _power_on(guest, guest.machine.disks[0])
        guest.wait_until_running()  # nothing was staged, so that nothing is lost
        _require_untouched(guest, as_installed)
        before = len(registry.requests())
        _cut_during_staging(guest, switch)
        # The layer that was cut off was not taken for complete.
        fetched = [path for method, path, _ in registry.requests()[before:] if method == "GET"]
        assert any(sha256(_LARGE) in path for path in fetched)

        recording = power_cut.record(guest.machine.disks[0], results)
        _power_on(guest, recording.disk)
        guest.wait_until_running()
        assert len(_deployments(guest)) == 2  # one of them in part
        _require_untouched(guest, as_installed)
        guest.run(switch, timeout_s=_PATIENCE_S)
        assert digests(guest) == as_installed | {"staged": update}
        instants = _cut_after_finalization(guest, recording)

        disk, updated = _cut_during_finalization(recording, instants, installed, results)
        _power_on(guest, disk)
        wait_until_started(guest)
        assert digests(guest) == as_installed
        warning, hint = guest.run("bootc status --json").stderr.splitlines()
        assert f"({update}), staged " in warning
        assert warning.endswith(f" was not applied: {_NO_POWER}")
        assert hint == "hint: run the same `bootc switch` to stage it again"
        assert failed_units(guest) == ["bootc-boot-check.service"]
        assert guest.run(_LOST).stdout.endswith(f" was not applied: {_NO_POWER}\n")
        with steps.step("The same command again, with the power on"):
            guest.reboot(f"{switch} --apply", timeout_s=_PATIENCE_S)

        assert digests(guest) == as_installed | {"booted": update, "rollback": built_image.digest}
        guest.wait_until_running()
        assert guest.run("bootc status --json").stderr == ""
        sizes = guest.run("stat --format=%s /usr/lib/small /usr/lib/large").stdout
        assert sizes == f"6\n{_LARGE_BYTES}\n"
        (new,) = _deployments(guest) - {installed}  # what the cuts had left is gone
        assert new.partition(".")[0] == updated.partition(".")[0]
        guest.poweroff()

    assert read_boot_menu(disk.path) == BootMenu(
        deployments=(new, installed), replayed=(new, installed)
    )
    # Nothing that was half written when the power failed was taken for complete later.
    run_on_root(built_image, disk.path, "ostree fsck --quiet --repo=ostree/repo")


def _power_on(guest: Guest, disk: qemu.Disk) -> None:
    """Boot the guest from `disk`."""
    guest.machine = replace(guest.machine, disks=[disk])
    guest.power_on()
    guest.wait_for_ssh()


def _require_untouched(guest: Guest, expected: dict[str, str | None]) -> None:
    """Require that the status neither shows an update nor says that one was lost."""
    assert digests(guest) == expected
    assert guest.run("bootc status --json").stderr == ""


def _cut_during_the_pull(guest: Guest, command: str) -> None:
    """Cut the power when one layer is complete and the other on its way."""
    with steps.step("Cutting the power during the pull"), _events(guest, command) as events:
        for event in events:
            if event["type"] == "ProgressBytes" and event["steps"] == 1:
                assert event["bytes"] < event["bytesTotal"]
                break
        guest.cut_power()


def _cut_during_staging(guest: Guest, command: str) -> None:
    """Cut the power when half of the new deployment's directories are there for good."""
    half = f"[ $(ls -d {_DEPLOYMENTS}/*/usr/lib | wc -l) = 2 ]"
    with steps.step("Cutting the power during staging"), _events(guest, command):
        guest.run(f"until {half}; do sleep 0.1; done; sync", timeout_s=_PATIENCE_S)
        guest.cut_power()


def _cut_after_finalization(guest: Guest, recording: power_cut.Recording) -> list[int]:
    """Cut the power when the shutdown has finalized, and return the instants of the shutdown."""
    begun = len(power_cut.instants(recording))
    with steps.step("Cutting the power after finalization"):
        guest.run("systemctl poweroff", check=False)
        end = time.monotonic() + _PATIENCE_S
        while not any(_FINALIZED in line for line in _console(guest)):
            assert time.monotonic() < end, f"the console never said {_FINALIZED!r}"
            time.sleep(0.05)
        guest.cut_power()
    return power_cut.instants(recording)[begun:]


def _console(guest: Guest) -> list[str]:
    return console.plain_lines(guest.machine.console.read_text("utf-8", "replace"))


def _cut_during_finalization(
    recording: power_cut.Recording, instants: Sequence[int], installed: str, directory: Path
) -> tuple[qemu.Disk, str]:
    """Return the disk just before its menu changed, and the deployment that was added then.

    The first and the last instant, those around the change, and some between were looked at.
    """
    seen: dict[int, BootMenu] = {}

    def menu_at(instant: int) -> BootMenu:
        if instant not in seen:
            disk = power_cut.disk_at(recording, instant, directory / "look.img")
            seen[instant] = read_boot_menu(disk.path)
            steps.say(f"after {instant} writes: {seen[instant]}")
        return seen[instant]

    with steps.step(f"Looking at the disk as of some of {len(instants)} instants"):
        swap = bisect.bisect_left(instants, 2, key=lambda at: len(menu_at(at).replayed))
        assert 0 < swap < len(instants)
        last = menu_at(instants[-1])
        assert last.deployments[1:] == (installed,)
        assert menu_at(instants[swap]).replayed == last.replayed == last.deployments
        for instant in (instants[0], instants[swap - 1]):
            menu = menu_at(instant)
            assert menu.replayed == menu.deployments == (installed,)
        assert {instant: menu.problems for instant, menu in seen.items() if menu.problems} == {}
    return power_cut.disk_at(
        recording, instants[swap - 1], directory / "cut.img"
    ), last.deployments[0]


@contextmanager
def _events(guest: Guest, command: str) -> Iterator[Iterator[dict[str, Any]]]:
    """Run a command of ours in the guest and yield its events as they come; it may be cut off."""
    argv = guest.remote(f"{command} --progress-fd 3 3>&1 >/dev/null")
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=qemu.die_with_parent,  # noqa: PLW1509 - no threads here
    ) as running:
        assert running.stdout is not None
        yield map(json.loads, running.stdout)


def _deployments(guest: Guest) -> set[str]:
    return set(guest.run(f"cd {_DEPLOYMENTS}; ls -d *.[0-9]").stdout.split())
