"""Work in a forked child: a function there, its result here.

Importing a layer keeps a processor busy and leaves memory behind; in a child of its own
it does both beside the others and without a trace. The parent has no other thread when
it forks (see `bootcpy.system.process.run`), so the child may run any Python.
"""

import os
import pickle
import signal
import traceback
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, contextmanager
from typing import Generic, TypeVar

from bootcpy.errors import BootcpyError
from bootcpy.model.base.io_errors import DISK_ERRNOS, FAILING_HINT
from bootcpy.model.base.signals import INTERRUPTING_SIGNALS
from bootcpy.system.process.libc import parent_death

_Result = TypeVar("_Result")


class ChildFailedError(RuntimeError):
    """The child ended by an exception that is a bug; the text has it."""


@contextmanager
def forked(
    work: Callable[[], _Result], *, close: Iterable[int] = ()
) -> Generator["Child[_Result]"]:
    """Fork and run `work` in the child, which ends with the context at the latest.

    It first closes the descriptors `close`.
    """
    # Else a signal could unwind the parent's `with` blocks in the child, or leave it running.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTING_SIGNALS)
    try:
        child = _fork(work, close)
    except BaseException:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        raise
    with closing(child):
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        yield child


def _fork(work: Callable[[], _Result], close: Iterable[int]) -> "Child[_Result]":
    answer_fd, theirs = os.pipe()
    parent = os.getpid()
    die_with_parent = parent_death(signal.SIGKILL)
    try:
        pid = os.fork()
        if pid == 0:
            _run_and_exit(work, theirs, (answer_fd, *close), parent, die_with_parent)
    except OSError:
        os.close(answer_fd)
        raise
    finally:
        os.close(theirs)
    return Child(pid, answer_fd)


class Child(Generic[_Result]):
    """A forked process that computes one value."""

    def __init__(self, pid: int, answer_fd: int) -> None:
        """Wait for the process `pid`, whose answer comes from the pipe `answer_fd`."""
        self._pid = pid
        self._fd = answer_fd
        self._reaped = False

    def fileno(self) -> int:
        """Return the descriptor that turns readable when the child has ended."""
        return self._fd

    def result(self) -> _Result:
        """Wait for the child and return what `work` returned.

        Raises:
            BootcpyError: `work` raised it, or the child was killed.
            OSError: `work` raised it, and the disk is to blame.
            ChildFailedError: `work` raised anything else.
        """
        with open(self._fd, "rb", closefd=False) as pipe:
            answer = pipe.read()
        status = self._reap()
        if os.WIFSIGNALED(status):
            signum = os.WTERMSIG(status)
            memory = "memory may be short: see the kernel's messages (`dmesg`); then try again"
            raise BootcpyError(
                f"a process that imports the image was killed by signal {signum}",
                # A page of a mapped file cannot be read.
                hint=FAILING_HINT if signum == signal.SIGBUS else memory,
            )
        if not answer:
            raise ChildFailedError(f"a child ended without an answer (wait status {status})")
        kind, value = pickle.loads(answer)  # noqa: S301 - our own child wrote it
        if kind == "result":
            result: _Result = value
            return result
        if kind == "error" and isinstance(value, BootcpyError):
            raise value
        if kind == "disk" and isinstance(value, OSError):
            raise value
        raise ChildFailedError(f"a child failed:\n{value}")

    def _reap(self) -> int:
        _, status = os.waitpid(self._pid, 0)
        self._reaped = True
        return status

    def close(self) -> None:
        """Kill the child if it still runs, and forget it."""
        if not self._reaped:
            os.kill(self._pid, signal.SIGKILL)
            self._reap()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _run_and_exit(
    work: Callable[[], object],
    answer_fd: int,
    close: Iterable[int],
    parent: int,
    die_with_parent: Callable[[], None],
) -> None:
    """Run `work`, send its outcome, and end the process without any of the parent's clean-up."""
    status = 1
    try:
        die_with_parent()
        if os.getppid() != parent:  # it died before we could ask to die with it
            os._exit(1)
        for each in (signal.SIGINT, signal.SIGHUP):  # from a terminal, to us all
            signal.signal(each, signal.SIG_IGN)  # the parent decides, and kills us
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTING_SIGNALS)
        for fd in close:
            os.close(fd)
        try:
            answer: tuple[str, object] = ("result", work())
        except BootcpyError as e:
            answer = ("error", e)
        except OSError as e:
            of_disk = e.errno in DISK_ERRNOS
            answer = ("disk", e) if of_disk else ("bug", traceback.format_exc())
        except Exception:  # noqa: BLE001 - shown by the parent, as the bug it is
            answer = ("bug", traceback.format_exc())
        with open(answer_fd, "wb") as pipe:
            pipe.write(pickle.dumps(answer))
        status = 0
    finally:
        os._exit(status)
