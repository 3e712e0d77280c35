"""System calls that Python's own library lacks: the only place that calls the C library.

It is looked up by each call: importing this loads nothing.
"""

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_CLONE_NEWNS = 0x00020000  # linux/sched.h
_OPENAT2 = 437  # the same on all architectures that Debian has; glibc has no wrapper


class _OpenHow(ctypes.Structure):
    """`struct open_how` of openat2(2)."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def _loaded() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def parent_death(signum: signal.Signals) -> Callable[[], None]:
    """Return what has the kernel send `signum` to a child when its parent ends (prctl(2)).

    It is for the child to call, and only makes the system call: all else is done here, before
    the fork. The parent is the thread that forked. Nothing comes if that has ended already;
    `os.getppid()` tells.
    """
    prctl = _loaded().prctl

    def die_with_parent() -> None:
        prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)

    return die_with_parent


def unshare_mounts() -> None:
    """Move this process into a mount namespace of its own, by unshare(2).

    Raises:
        OSError: the kernel refuses.
    """
    # os.unshare() came with Python 3.12.
    if _loaded().unshare(_CLONE_NEWNS):
        raise _error()


def syncfs(fd: int) -> None:
    """Write all of the file system to disk that the open descriptor `fd` is on.

    Raises:
        OSError: something could not be written.
    """
    if _loaded().syncfs(fd):
        raise _error()


def openat2(directory_fd: int, path: str, *, flags: int, resolve: int) -> int:
    """Return a descriptor of `path`, found as the RESOLVE_ flags in `resolve` say.

    Raises:
        OSError: ENOSYS before Linux 5.6, EPERM in a container that forbids it; as openat2(2).
    """
    how = _OpenHow(flags=flags, mode=0, resolve=resolve)
    fd: int = _loaded().syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_int(directory_fd),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if fd < 0:
        raise _error()
    return fd
