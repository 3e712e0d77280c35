import errno
import os

import pytest

from bootcpy.errors import BootcpyError, ImageContentError, NoSpaceError
from bootcpy.model.base.io_errors import DiskState, explain_write_failure, hint_for
from bootcpy.model.base.size import GIB, MIB

DISK = DiskState(path="/dev/sda", size_bytes=8 * GIB)
GONE = DiskState(path="/dev/sda", size_bytes=8 * GIB, gone=True)
ROOM = DiskState(
    path="/srv/d.img", size_bytes=GIB, file="/srv/d.img", file_bytes=GIB, free_bytes=20 * MIB
)
FULL = DiskState(
    path="/srv/d.img", size_bytes=GIB, file="/srv/d.img", file_bytes=GIB, free_bytes=2 * MIB
)
CUT = DiskState(
    path="/dev/loop3", size_bytes=GIB, file="/srv/d.img", file_bytes=MIB, free_bytes=2 * MIB
)

FULL_SAID = "the file system that holds /srv/d.img is full: writing to it failed"
CUT_SAID = "/srv/d.img was truncated while it was written to"
DMESG = "see the kernel's messages (`dmesg`); the disk may be failing"
CABLE = "see the kernel's messages (`dmesg`), check the cable, and run the command again"
FREE_SOME = "free some space there, or put the disk file elsewhere"
FIND = "find the program that truncated it, make a new disk file, and try again"


def os_error(number: int, *name: str) -> OSError:
    return OSError(number, os.strerror(number), *name)


def tool_error(text: str, hint: str | None = None) -> BootcpyError:
    return BootcpyError(text, hint=hint)


# What failed on which disk, and what is said.
@pytest.mark.parametrize(
    ("disk", "cause", "message", "hint"),
    [
        (FULL, os_error(errno.EIO), FULL_SAID, FREE_SOME),
        (FULL, os_error(errno.ENOSPC, "tmp"), FULL_SAID, FREE_SOME),
        (FULL, tool_error("mkfs: Input/output error"), FULL_SAID, FREE_SOME),
        (FULL, tool_error("sync: Read-only file system", "x"), FULL_SAID, FREE_SOME),
        (FULL, NoSpaceError("too little"), FULL_SAID, FREE_SOME),
        (CUT, tool_error("partition 3: partition is unused"), CUT_SAID, FIND),
        (CUT, os_error(errno.EINVAL), CUT_SAID, FIND),
        (GONE, os_error(errno.ENXIO), "/dev/sda disappeared while it was written to", CABLE),
        (DISK, tool_error("mkfs: Input/output error"), "mkfs: Input/output error", DMESG),
        (DISK, tool_error("No space left on device", "buy"), "No space left on device", "buy"),
        (
            DISK,
            os_error(errno.EIO, "/run/x"),
            "writing to /dev/sda failed (/run/x): Input/output error",
            f"{DMESG} or full",
        ),
        (
            ROOM,
            os_error(errno.EROFS, "tmp"),
            "writing to /srv/d.img failed: Read-only file system",
            f"{DMESG} or full",
        ),
    ],
)
def test_a_disk_that_failed_is_blamed(
    disk: DiskState, cause: BootcpyError | OSError, message: str, hint: str
) -> None:
    explained = explain_write_failure(disk, cause)
    assert explained is not None
    assert explained.message == message
    assert explained.hint == hint


@pytest.mark.parametrize(
    ("disk", "cause"),
    [
        (FULL, tool_error("the program mkfs.xfs is not installed")),
        (FULL, os_error(errno.EACCES)),
        (CUT, ImageContentError("the layer is corrupt")),
        (DISK, tool_error("grub-install failed")),
    ],
)
def test_a_disk_that_is_not_to_blame_is_left_alone(
    disk: DiskState, cause: BootcpyError | OSError
) -> None:
    assert explain_write_failure(disk, cause) is None


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("syncfs(sysroot): Input/output error", DMESG),
        ("open(O_TMPFILE): Read-only file system", DMESG),
        ("mkdir: No space left on device", None),
        ("no such ref", None),
    ],
)
def test_hint_for(message: str, hint: str | None) -> None:
    assert hint_for(message) == hint
