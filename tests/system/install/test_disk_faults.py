"""Disks that fill up or fail while they are written to: one line, a hint, nothing is left."""

import os
import signal
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from bootcpy.model.base.size import KIB, MIB
from tests.layers import file, noise
from tests.system.support.disks import (
    attached,
    install,
    install_argv,
    leftovers,
    new_disk_file,
    small_system,
    tool,
    wait_for,
    words_for,
)
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_images import LayerBlob, OciDirectory

pytestmark = IN_CONTAINER

# A line of the story, what is mounted and written there, and how much still fits after it. What
# follows needs more, the last step of an installation only excepted.
FULL_AFTER = {
    "Partitioning": 300 * KIB,
    "Making file systems": 2 * MIB,
    "Making the repository": 2 * MIB,
    "layers already present": 2 * MIB,
}
# Not while the table is written: its copy at the end makes the file as long as it was.
CUT_AFTER = (*tuple(FULL_AFTER)[1:], "Merging layers", "Deploying")
FILESYSTEMS = ("ext4", "xfs", "btrfs")


@pytest.fixture(autouse=True)
def nothing_is_left() -> Generator[None]:
    before = leftovers()
    yield
    wait_for(lambda: leftovers() == before, 30)


@pytest.fixture(scope="module")
def large_image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The reference of an image with 60 MB that do not compress."""
    directory = OciDirectory(tmp_path_factory.mktemp("large") / "oci")
    files = (file(f"usr/share/noise{n}", noise(n, 6_000_000)) for n in range(10))
    return str(directory.add_image([small_system(), LayerBlob.of(*files)]))


@pytest.fixture
def small_place(tmp_path: Path) -> Generator[Path]:
    """A file system with as much room as an installation asks for before it begins."""
    place = tmp_path / "place"
    place.mkdir()
    tool("mount", "-t", "tmpfs", "-o", "size=1200M", "none", place)
    yield place
    # What failed may be unmounted lazily, and holds the file for a moment.
    wait_for(lambda: subprocess.run(["umount", place], check=False).returncode == 0, 30)


def leave_room(place: Path, left_bytes: int) -> None:
    """Make a tmpfs just so large that `left_bytes` more fit in."""

    def remounted() -> bool:  # fails where more is used by then
        status = os.statvfs(place)
        used_bytes = (status.f_blocks - status.f_bfree) * status.f_frsize
        remount = ["mount", "-o", f"remount,size={used_bytes + left_bytes}", str(place)]
        return subprocess.run(remount, check=False, capture_output=True).returncode == 0

    wait_for(remounted, 30)


def install_with_fault(
    step: str, fault: Callable[[], None], *words: str | Path
) -> tuple[int, list[str]]:
    """Install, and do `fault` when the story is at `step`; return status and last two lines."""
    with subprocess.Popen(install_argv(*words), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        story: list[str] = []
        for line in process.stderr:
            story.append(line)
            if line.startswith(step):
                break
        else:
            pytest.fail(f"the step {step!r} did not come: {story}")
        process.send_signal(signal.SIGSTOP)  # so that it does not get much further
        fault()
        process.send_signal(signal.SIGCONT)
        rest = process.stderr.read()
    assert "Traceback" not in rest
    # libostree may have its own to say at the end, when it lets go of what it had open.
    lines = [line for line in rest.splitlines() if line.startswith(("error: ", "hint: "))]
    return process.returncode, lines


@pytest.mark.parametrize("filesystem", FILESYSTEMS)
@pytest.mark.parametrize("step", FULL_AFTER)
def test_the_place_of_the_disk_file_fills_up(
    large_image: str, small_place: Path, step: str, filesystem: str
) -> None:
    disk = new_disk_file(small_place / "disk.img")
    words = words_for(large_image, disk, f"--filesystem={filesystem}", "--via-loopback")

    def fill_up() -> None:
        leave_room(small_place, FULL_AFTER[step])

    ended = install_with_fault(step, fill_up, *words)
    assert ended == (
        1,
        [
            f"error: the file system that holds {disk} is full: writing to it failed",
            "hint: free some space there, or put the disk file elsewhere",
        ],
    )

    # With room again it can be repeated.
    tool("mount", "-o", "remount,size=1200M", small_place)
    if step == "Making the repository":
        done = install(*words, "--wipe")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("filesystem", FILESYSTEMS)
@pytest.mark.parametrize("step", CUT_AFTER)
def test_a_disk_that_fails(large_image: str, disk_file: Path, step: str, filesystem: str) -> None:
    """Beyond the end of the file its loop devices answer with I/O errors."""
    words = words_for(large_image, disk_file, f"--filesystem={filesystem}", "--via-loopback")
    ended = install_with_fault(step, lambda: os.truncate(disk_file, MIB), *words)
    assert ended == (
        1,
        [
            f"error: {disk_file} was truncated while it was written to",
            "hint: find the program that truncated it, make a new disk file, and try again",
        ],
    )


def test_a_disk_that_fails_can_be_replaced(image: str, disk_file: Path) -> None:
    with attached(disk_file) as disk:
        status, lines = install_with_fault(
            "Making the repository", lambda: os.truncate(disk_file, MIB), *words_for(image, disk)
        )
    assert (status, lines[0]) == (1, f"error: {disk_file} was truncated while it was written to")
    disk_file.unlink()
    done = install(*words_for(image, new_disk_file(disk_file), "--via-loopback"))
    assert done.returncode == 0, done.stderr
