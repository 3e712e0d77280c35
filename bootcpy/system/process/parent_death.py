"""A child process that ends when its parent does, however the parent ends (prctl(2))."""

import ctypes
import signal

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Loaded before any fork: between fork and exec a child may only make the system call.
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent(signum: signal.Signals) -> None:
    """Have the kernel send `signum` to this process when the thread that forked it ends.

    Nothing comes if that thread has ended already; `os.getppid()` tells.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)
