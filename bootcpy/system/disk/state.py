"""What has become of a disk that could not be written to."""

import os
from pathlib import Path

from bootcpy.model.base.io_errors import DiskState


def read_disk_state(disk: Path, size_bytes: int) -> DiskState:
    """Return the state of a disk or disk file that had `size_bytes` when the work began."""
    try:
        file = disk.resolve(strict=True) if disk.is_file() else _file_behind(disk)
        gone = not disk.exists()
        if file is None:
            return DiskState(path=str(disk), size_bytes=size_bytes, gone=gone)
        found = os.statvfs(file)
        return DiskState(
            path=str(disk),
            size_bytes=size_bytes,
            file=str(disk if disk.is_file() else file),
            file_bytes=file.stat().st_size,
            free_bytes=found.f_bavail * found.f_frsize,
        )
    except OSError:  # it is in such a state that one cannot even look
        return DiskState(path=str(disk), size_bytes=size_bytes)


def _file_behind(disk: Path) -> Path | None:
    """Return the file that a loop device stands for, if this is one and it is seen here."""
    attribute = Path("/sys/block", disk.resolve().name, "loop/backing_file")
    if not attribute.exists():
        return None
    file = Path(attribute.read_text(encoding="utf-8").rstrip("\n"))
    return file if file.is_file() else None
