"""Keeping others off a disk: systemd's "Locking Block Device Access"."""

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from bootcpy.errors import TargetError

_TIMEOUT_S = 10.0  # udev probes for moments only
_POLL_S = 0.1


def open_for_writing(disk: Path) -> int:
    """Open the device or file `disk`, and return the descriptor.

    Raises:
        TargetError: it cannot be opened for writing.
    """
    try:
        return os.open(disk, os.O_RDWR | os.O_CLOEXEC)
    except OSError as e:
        raise TargetError(
            f"cannot open {disk} for writing: {e.strerror}",
            hint="find what uses it (`lsof`), and check that it is not read-only",
        ) from e


@contextmanager
def locked(disk: Path) -> Generator[None]:
    """Keep other installations off the device or file `disk`, and udev's probing, for as long.

    It is a BSD lock on the whole disk's node. As the node stays open, its name is not given
    to another device meanwhile.

    Raises:
        TargetError: it cannot be opened for writing, or others keep it locked.
    """
    fd = open_for_writing(disk)
    try:
        _lock(fd, disk)
        yield
        os.fsync(fd)
    finally:
        os.close(fd)


def _lock(fd: int, disk: Path) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            if time.monotonic() >= deadline:
                raise TargetError(
                    f"{disk} is locked by another program, perhaps another installation",
                    hint="find it with `lslocks`, and wait for it to finish",
                ) from e
            time.sleep(_POLL_S)
        else:
            return
