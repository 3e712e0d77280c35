"""Noticing that nothing comes any more: from a proxy, or through the pipe of a layer."""

import fcntl
import os
import socket
import struct
import termios
import time
from select import select
from typing import Final

from bootcpy.model.image.patience import Waiting, parse_stall_timeout

_LOOK_INTERVAL_S: Final = 0.5


def read_stall_timeout() -> int | None:
    """Return for how many seconds a registry may send nothing, None for ever.

    Raises:
        BootcpyError: the environment says it wrongly.
    """
    return parse_stall_timeout(os.environ.get("BOOTC_STALL_TIMEOUT"))


class Watch:
    """A clock that runs while somebody is waited for, and starts again whenever he delivers."""

    def __init__(self, timeout_s: int | None) -> None:
        """Begin to wait, for at most `timeout_s` seconds without news; None is for ever."""
        # Does not run while the machine sleeps (clock_gettime(2)).
        self._waiting = Waiting(timeout_s=timeout_s, seen_s=time.monotonic())

    def stalled(self, delivered: int, *, ours_to_read: bool) -> bool:
        """Tell whether too little has come for too long; to be asked about every second."""
        self._waiting = self._waiting.looked(time.monotonic(), delivered, ours_to_read=ours_to_read)
        return self._waiting.stalled

    def wait_for(self, answer: socket.socket, error: type[Exception]) -> None:
        """Wait until `answer` can be read.

        Raises:
            error: that takes too long.
        """
        while not select([answer], [], [], _LOOK_INTERVAL_S)[0]:
            if self.stalled(0, ours_to_read=False):
                raise error


class PipeProbe:
    """Tells whether a pipe holds bytes, without being one of its readers.

    Who writes to a pipe learns that the reader is gone only when no process holds it any more.
    """

    def __init__(self, fd: int) -> None:
        """Remember the pipe that has `fd` as one of its ends."""
        self._path_fd = os.open(f"/proc/self/fd/{fd}", os.O_PATH | os.O_CLOEXEC)

    def has_bytes(self) -> bool:
        """Tell whether there is something to read."""
        fd = os.open(f"/proc/self/fd/{self._path_fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            (count,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))
        finally:
            os.close(fd)
        return bool(count)

    def close(self) -> None:
        """Forget the pipe."""
        if self._path_fd >= 0:
            os.close(self._path_fd)
            self._path_fd = -1
