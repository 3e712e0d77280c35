"""What the kernel says of block devices below /sys, a value for each file (sysfs(5))."""

import os
from pathlib import Path

SYS = Path("/sys")
SECTOR_BYTES = 512  # the unit of sizes and offsets, whatever the disk's own


def device_number(device: int) -> str:
    """Return a device number as sysfs and mountinfo write it: `major:minor`."""
    return f"{os.major(device)}:{os.minor(device)}"


def block_device(device: int) -> Path:
    """Return the directory of the block device, or partition, with this number."""
    return (SYS / "dev/block" / device_number(device)).resolve()


def read_text(path: Path) -> str | None:
    """Return a value; None if there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def read_int(path: Path) -> int:
    """Return a number; 0 if there is none."""
    return int(read_text(path) or 0)
