"""Disks for tests: files, loop devices on them, and the program run on those."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bootcpy import paths
from bootcpy.model.base.size import GIB, MIB
from tests.layers import Member, bootable_tree, directory, file
from tests.system.support.oci_images import LayerBlob

DISK_BYTES = 2 * GIB
_EDGE_BYTES = 2 * MIB
_BLOCK_BYTES = 1 * MIB
_PREPARE_ROOT = "usr/lib/ostree/ostree-prepare-root"


def tool(*argv: str | Path, stdin: str = "") -> str:
    """Run a program that must succeed and return what it printed."""
    words = [str(word) for word in argv]
    done = subprocess.run(words, input=stdin, text=True, check=True, stdout=subprocess.PIPE)
    return done.stdout


def install_argv(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "bootcpy", "install", "to-disk", *map(str, words)]


def install(
    *words: str | Path, env: Mapping[str, str] | None = None, prefix: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run `install to-disk`; `prefix` is a command to run it under."""
    return subprocess.run(
        [*prefix, *install_argv(*words)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
    )


def require_refused(
    done: subprocess.CompletedProcess[str], message: str, hint: str, status: int = 1
) -> None:
    """Check that the last two lines say what is wrong and what to do, and the status."""
    *story, error, advice = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert advice == f"hint: {hint}"
    assert done.returncode == status
    assert not [line for line in story if line.startswith("Partitioning")]


def words_for(image: str, device: Path, *more: str | Path) -> list[str | Path]:
    return ["--source-imgref", image, "--filesystem", "ext4", "--bootloader", "none", *more, device]


def new_disk_file(path: Path, size_bytes: int = DISK_BYTES) -> Path:
    """Make a sparse file, empty as a new disk."""
    with path.open("wb") as new:
        new.truncate(size_bytes)
    return path


@contextmanager
def attached(backing: Path, *options: str) -> Generator[Path]:
    """Attach a file to a loop device of the test's own, and detach exactly that one."""
    device = tool("losetup", "--show", "--find", *options, backing).strip()
    try:
        yield Path(device)
    finally:
        tool("losetup", "--detach", device)
        # Whoever else looks at all disks of this machine keeps it attached for a moment.
        wait_for(lambda: not Path("/sys/block", Path(device).name, "loop").exists())


def wait_for(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    """Wait until it holds: the kernel undoes things a moment after their last user is gone."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "something was left behind"
        time.sleep(0.05)


@contextmanager
def with_partition(backing: Path) -> Generator[tuple[Path, Path]]:
    """Attach a file with one partition, which the kernel knows; yield disk and partition."""
    tool("sfdisk", "-q", backing, stdin="label: gpt\nsize=1GiB, name=data\n")
    with attached(backing, "--partscan") as disk:
        tool("partx", "--update", disk)  # for kernels without a parser of their own
        yield disk, Path(f"{disk}p1")


@contextmanager
def mounted(device: Path, target: Path) -> Generator[Path]:
    """Mount a device that must keep every byte: a writable mount writes when it likes."""
    target.mkdir(exist_ok=True)
    tool("mount", "-o", "ro", device, target)
    try:
        yield target
    finally:
        tool("umount", target)


def fingerprint(disk: Path) -> tuple[bytes, bytes]:
    """Return both ends of a disk: every write that the refusals must prevent begins there."""
    with disk.open("rb") as opened:
        start = opened.read(_EDGE_BYTES)
        opened.seek(-_EDGE_BYTES, os.SEEK_END)
        return start, opened.read()


def leftovers() -> tuple[str, ...]:
    """Return the loop devices in use and what is mounted here, to compare before and after.

    The machine may be busy with other things: only loop devices on files that are seen here
    count, and only mounts of such devices or where an installation mounts.
    """
    listed = tool("losetup", "--list", "--noheadings", "--raw", "--output", "NAME,BACK-FILE")
    loops = [line for line in listed.splitlines() if Path(line.partition(" ")[2]).exists()]
    mounts = [
        line
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        if "/dev/loop" in line or line.split()[4].startswith(str(paths.RUN))
    ]
    return (*sorted(loops), *sorted(mounts))


def holds(disk: Path, secret: bytes) -> bool:
    """Tell whether a disk file has `secret` anywhere; what was never written is passed over."""
    with disk.open("rb") as file:
        place, size_bytes = 0, os.fstat(file.fileno()).st_size
        while place < size_bytes:
            try:
                place = os.lseek(file.fileno(), place, os.SEEK_DATA)
            except OSError:  # there is only a hole from here on
                return False
            block = os.pread(file.fileno(), _BLOCK_BYTES + len(secret), place)
            if secret in block:
                return True
            place += _BLOCK_BYTES
    return False


def small_system() -> LayerBlob:
    """Return the one layer of an image that deploys; its kernel boots nothing."""
    return LayerBlob.of(*_small_system())


def _small_system() -> Generator[Member]:
    yield from bootable_tree()
    yield directory("usr/lib")
    yield file("usr/lib/os-release", b'ID=test\nNAME="Test"\nVERSION_ID=1\nPRETTY_NAME="Test 1"\n')
    yield directory("usr/lib/modules")
    yield directory("usr/lib/modules/6.1.0-test")
    yield file("usr/lib/modules/6.1.0-test/vmlinuz", b"not really a kernel")
    yield file("usr/lib/modules/6.1.0-test/initramfs.img", initramfs(_PREPARE_ROOT))
    yield directory("usr/lib/ostree")
    yield file("usr/lib/ostree/prepare-root.conf", b"[sysroot]\nreadonly = true\n")
    yield directory("usr/lib/bootc")
    yield directory("usr/lib/bootc/kargs.d")
    yield file("usr/lib/bootc/kargs.d/10-image.toml", b'kargs = ["image=1"]\n')
    yield directory("sysroot")


def initramfs(*names: str) -> bytes:
    """Return a cpio archive of empty programs."""
    entries = [_cpio_entry(name, mode=0o100755) for name in names]
    return b"".join(entries) + _cpio_entry("TRAILER!!!", mode=0)


def _cpio_entry(name: str, *, mode: int) -> bytes:
    encoded = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, 0, 0, 0, 0, 0, len(encoded), 0)
    entry = b"070701" + "".join(f"{field:08x}" for field in fields).encode() + encoded
    return entry + bytes(-len(entry) % 4)
