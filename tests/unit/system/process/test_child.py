import os
import signal
import time

import pytest

from bootcpy.errors import BootcpyError, ImageContentError
from bootcpy.system.process.child import ChildFailedError, forked
from tests.refusals import refused


def _refuse() -> None:
    raise ImageContentError("the layer is bad", hint="build it again")


def _break() -> None:
    raise ZeroDivisionError


def _sleep() -> None:
    time.sleep(60)


def _write(fd: int) -> int:
    return os.write(fd, b"x")


def test_child_returns_what_the_work_returned() -> None:
    with forked(lambda: [os.getpid()]) as child:
        assert child.result() != [os.getpid()]


def test_child_hands_over_errors_with_their_hints() -> None:
    with (
        forked(_refuse) as child,
        refused(ImageContentError, "the layer is bad", hint="build it again"),
    ):
        child.result()


def test_child_shows_where_a_bug_is() -> None:
    with (
        forked(_break) as child,
        pytest.raises(ChildFailedError, match=r"(?s)_break.*ZeroDivision"),
    ):
        child.result()


def test_child_that_was_killed_is_an_error_and_no_bug() -> None:
    with (
        forked(lambda: os.kill(os.getpid(), signal.SIGKILL)) as child,
        refused(
            BootcpyError,
            "killed by signal 9",
            hint="memory may be short: see the kernel's messages (`dmesg`); then try again",
        ),
    ):
        child.result()


def test_child_ends_with_the_context() -> None:
    before = time.monotonic()
    with forked(_sleep):
        pass
    assert time.monotonic() - before < 30


def test_child_closes_what_it_is_told_to() -> None:
    read, write = os.pipe()
    with (
        forked(lambda: _write(write), close=[write]) as child,
        pytest.raises(ChildFailedError, match="Bad file descriptor"),
    ):
        child.result()
    os.close(read)
    os.close(write)


def test_child_ignores_sigint_and_obeys_sigterm() -> None:
    read, write = os.pipe()

    def wait() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.write(write, b"still here")
        time.sleep(60)

    with forked(wait) as child:
        assert os.read(read, 10) == b"still here"
        os.kill(child._pid, signal.SIGTERM)  # noqa: SLF001 - as a stranger would
        with pytest.raises(BootcpyError, match="killed by signal 15"):
            child.result()
    os.close(read)
    os.close(write)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
