"""One ground for each process that runs rows."""

import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.support.marks import MAY_MOUNT

pytest.register_assert_rewrite("tests.hostile.ground")

from tests.hostile.ground import Ground, laid_out  # noqa: E402 - its asserts are to explain

_DISK_BYTES = 8 << 30  # sparse


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A host that seems booted."""
    if not MAY_MOUNT:
        pytest.skip("mounts over /sysroot, /boot and /run: runs as root in a container")
    with own_file_system(tmp_path_factory.mktemp("ground")) as place, laid_out(place) as made:
        yield made


@contextmanager
def own_file_system(place: Path) -> Generator[Path]:
    """Yield a directory on a file system that no other process has to do with.

    Who writes a boot entry freezes it for a moment, and who changes a mount of it finds it busy.
    """
    disk, directory = place / "disk.img", place / "mounted"
    directory.mkdir()
    with disk.open("wb") as file:
        file.truncate(_DISK_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", disk], check=True)
    subprocess.run(["mount", "-o", "loop", disk, directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)
