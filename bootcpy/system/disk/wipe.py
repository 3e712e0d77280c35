"""Making a disk empty, so that nothing of what it held can come back to life."""

import os
from pathlib import Path

from bootcpy.model.base.size import MIB
from bootcpy.system.disk import gpt
from bootcpy.system.process.run import run


def wipe(disk: Path, size_bytes: int) -> None:
    """Remove every signature from `disk`, the ones inside its partitions included.

    The first and last MiB of each old partition are zeroed: that is where LVM, RAID and
    file systems keep what would bring them back to life in a partition made later.
    """
    table = gpt.read(disk)
    ranges = [  # a damaged table may name what lies beyond the end
        (each.start_bytes, min(each.end_bytes, size_bytes))
        for each in (table.partitions if table else ())
        if each.start_bytes < size_bytes
    ]
    run("wipefs", "--all", "--force", disk)
    clear_edges(disk, [*ranges, (0, size_bytes)])


def clear_edges(disk: Path, ranges: list[tuple[int, int]]) -> None:
    """Zero the first and last MiB of each of the `ranges` (start, end) of `disk`, in bytes."""
    fd = os.open(disk, os.O_RDWR | os.O_CLOEXEC)
    try:
        for start, end in ranges:
            edge = min(MIB, end - start)
            os.pwrite(fd, bytes(edge), start)
            os.pwrite(fd, bytes(edge), end - edge)
        os.fsync(fd)
    finally:
        os.close(fd)
