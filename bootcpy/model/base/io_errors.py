"""What a failed write to a disk means for the person who reads it: full, cut off, gone, failing."""

import errno
import os
import re
from dataclasses import dataclass
from typing import Final

from bootcpy.errors import BootcpyError, ImageError, NoSpaceError
from bootcpy.model.base.size import MIB

# What a disk that fails, is full or was taken out makes of any system call.
DISK_ERRNOS: Final = frozenset({errno.EIO, errno.ENOSPC, errno.EROFS, errno.ENXIO, errno.ENODEV})
FAILING_HINT: Final = "see the kernel's messages (`dmesg`); the disk may be failing"
# Tools and libostree say it in the C library's words.
_WORDS: Final = re.compile("|".join(re.escape(os.strerror(each)) for each in DISK_ERRNOS))
_FAILING: Final = re.compile(
    "|".join(re.escape(os.strerror(each)) for each in DISK_ERRNOS - {errno.ENOSPC})
)
# A file system that is full to its writers has a little left, for itself.
_AS_GOOD_AS_FULL_BYTES: Final = 16 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskState:
    """A disk after writing to it has failed.

    Attributes:
        path: the disk.
        size_bytes: how large it was when the work began.
        file: the file that it is, or that is behind it; None for a real disk.
        file_bytes: the size of that file now.
        free_bytes: the space left where that file is.
        gone: whether the disk has vanished.
    """

    path: str
    size_bytes: int
    file: str | None = None
    file_bytes: int = 0
    free_bytes: int = 0
    gone: bool = False


def hint_for(message: str) -> str | None:
    """Return what to do about an error that blames the disk in these words, None if it does not."""
    return FAILING_HINT if _FAILING.search(message) else None


def explain_write_failure(disk: DiskState, cause: BootcpyError | OSError) -> BootcpyError | None:
    """Return the error to show instead of `cause`, None if that has nothing to do with the disk."""
    if isinstance(cause, ImageError):
        return None
    if disk.gone:
        return BootcpyError(
            f"{disk.path} disappeared while it was written to",
            hint="see the kernel's messages (`dmesg`), check the cable, and run the command again",
        )
    if disk.file is not None and disk.file_bytes < disk.size_bytes:
        return BootcpyError(
            f"{disk.file} was truncated while it was written to",
            hint="find the program that truncated it, make a new disk file, and try again",
        )
    return _explain_answer(disk, cause) if _blames_disk(cause) else None


def _explain_answer(disk: DiskState, cause: BootcpyError | OSError) -> BootcpyError:
    """Return the error for a disk that is there, and has answered that it cannot."""
    if disk.file is not None and disk.free_bytes < _AS_GOOD_AS_FULL_BYTES:
        return NoSpaceError(
            f"the file system that holds {disk.file} is full: writing to it failed",
            hint="free some space there, or put the disk file elsewhere",
        )
    if isinstance(cause, BootcpyError):
        return cause if cause.hint else BootcpyError(cause.message, hint=FAILING_HINT)
    # Relative names are of directories that nobody but us has open.
    name = str(cause.filename or "")
    where = f" ({name})" if name.startswith("/") else ""
    return BootcpyError(
        f"writing to {disk.path} failed{where}: {cause.strerror}", hint=f"{FAILING_HINT} or full"
    )


def _blames_disk(cause: BootcpyError | OSError) -> bool:
    if isinstance(cause, OSError):
        return cause.errno in DISK_ERRNOS
    return isinstance(cause, NoSpaceError) or _WORDS.search(cause.message) is not None
