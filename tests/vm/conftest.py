"""What the VM tests share: one image, one registry, one installed disk per file system.

Tests boot copy-on-write disks over the installed ones. Consoles and logs of each test stay in
.cache/vm-results/TEST until it runs again. Run with `-s`, every stage shows and times itself.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import pytest

from tools import guest, image, qemu, saved_host, steps
from tools.installed_disk import installed_disk
from tools.registry import Registry, serving

CACHE = Path(__file__).resolve().parents[2] / ".cache"
RESULTS = CACHE / "vm-results"


class Boot(Protocol):
    """Boots disks; the guest answers inside the block and is gone after it."""

    def __call__(
        self,
        *disks: qemu.Disk,
        firmware: qemu.Firmware = ...,
    ) -> AbstractContextManager[guest.Guest]: ...


@pytest.fixture(scope="session")
def accel() -> qemu.Accelerator:
    return qemu.accelerator(CACHE)


@pytest.fixture(scope="session")
def built_image() -> image.BuiltImage:
    with steps.step("Building the image"):
        return image.build()


@pytest.fixture(scope="session")
def base_disk(built_image: image.BuiltImage) -> Callable[[str], Path]:
    """Return a disk with the image on the given file system; boot overlays of it only."""

    def install(filesystem: str) -> Path:
        with steps.step(f"Installing the image on {filesystem}"):
            return installed_disk(built_image, filesystem, directory=CACHE / "disks")

    return install


class Resume(Protocol):
    """Goes on from the saved host; the guest answers inside the block and is gone after it."""

    def __call__(self, *, offline: bool = ...) -> AbstractContextManager[guest.Guest]: ...


@pytest.fixture(scope="session")
def saved(base_disk: Callable[[str], Path], accel: qemu.Accelerator) -> saved_host.SavedHost:
    """Return the host on ext4, booted and at rest: what most tests would begin with."""
    base = base_disk("ext4")
    with steps.step("Booting the host that tests go on from"):
        return saved_host.saved_host(
            base, directory=CACHE / "saved-host", accel=accel, report=steps.say
        )


@pytest.fixture
def resume(saved: saved_host.SavedHost, accel: qemu.Accelerator, results: Path) -> Resume:
    def start(*, offline: bool = False) -> AbstractContextManager[guest.Guest]:
        steps.say("going on from the saved host")
        return saved_host.resumed(
            saved,
            directory=results / f"boot{len(list(results.glob('boot*')))}",
            accel=accel,
            report=steps.say,
            offline=offline,
        )

    return start


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with serving(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def results(request: pytest.FixtureRequest) -> Path:
    """Return this test's own directory, empty; it is kept for whoever reads the verdict."""
    test: str = request.node.name
    directory = RESULTS / test.replace("/", "-")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def overlay(results: Path) -> Callable[[Path], qemu.Disk]:
    """Return a disk of this test's own that starts as a copy of an installed one."""

    def make(base: Path) -> qemu.Disk:
        number = len(list(results.glob("*.qcow2")))
        return qemu.overlay(base, results / f"disk{number}.qcow2")

    return make


@pytest.fixture
def boot(accel: qemu.Accelerator, results: Path) -> Boot:
    def start(
        *disks: qemu.Disk,
        firmware: qemu.Firmware = qemu.Firmware.UEFI,
    ) -> AbstractContextManager[guest.Guest]:
        steps.say(f"booting {', '.join(disk.path.name for disk in disks)} ({firmware})")
        return guest.booted(
            disks,
            firmware,
            directory=results / f"boot{len(list(results.glob('boot*')))}",
            accel=accel,
            report=steps.say,
        )

    return start


@pytest.fixture(autouse=True)
def _timed(request: pytest.FixtureRequest, results: Path) -> Iterator[None]:
    """Say which test runs and how long it took; drop the disks of one that passed."""
    steps.say(f"{request.node.name}: results in {results}")
    started = time.monotonic()
    yield
    steps.say(f"{request.node.name}: {time.monotonic() - started:.0f} s")
    for disk in [*results.rglob("*.qcow2"), *results.rglob("*.img")]:
        disk.unlink()
