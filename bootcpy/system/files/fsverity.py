"""fs-verity: whether the kernel checks what is read from a file against a digest."""

import array
import fcntl
from pathlib import Path

_FS_IOC_GETFLAGS = 0x80086601  # linux/fs.h
_FS_VERITY_FL = 0x00100000


def has_verity(path: Path) -> bool:
    """Tell whether the file is protected; False on a file system that cannot do it.

    Raises:
        OSError: the file cannot be opened.
    """
    flags = array.array("L", [0])
    with path.open("rb") as file:
        try:
            fcntl.ioctl(file.fileno(), _FS_IOC_GETFLAGS, flags)
        except OSError:
            return False
    return bool(flags[0] & _FS_VERITY_FL)
