import fcntl
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bootcpy.system.process import locks

_HOLD = """
import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR)
if sys.argv[2] == "flock":
    fcntl.flock(fd, fcntl.LOCK_EX)
elif sys.argv[2] == "ofd":
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lock"
    path.touch()
    return path


@contextmanager
def holder(file: Path, kind: str) -> Generator[subprocess.Popen[str]]:
    """Run a process that holds a lock, or only has the file open."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(file), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


@pytest.mark.parametrize("kind", ["flock", "ofd"])
def test_who_holds_a_lock_is_named(file: Path, kind: str) -> None:
    assert not locks.held_by(file)
    with holder(file, "only open"), holder(file, kind) as process:
        said = locks.held_by(file)
        assert said.startswith(f" held by process {process.pid} ({sys.executable} -c")
        assert "process" not in said.partition("(")[2]
    assert not locks.held_by(file.with_name("missing"))


def test_is_locked(file: Path) -> None:
    assert not locks.is_locked(file)
    with holder(file, "ofd"):
        assert locks.is_locked(file)
        assert locks.is_locked(file, for_reading=True)
    with file.open("rb") as other:
        fcntl.lockf(other, fcntl.LOCK_SH)
        assert locks.is_locked(file)
        assert not locks.is_locked(file, for_reading=True)


def test_waiting_says_for_whom(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    with holder(file, "ofd") as process:
        locks.wait_for("the lock", file, lambda: not locks.is_locked(file), most_s=2.5)
        (line,) = caplog.messages
        assert line.startswith(f"waiting for the lock held by process {process.pid} (")
    locks.wait_for("the lock", file, lambda: not locks.is_locked(file), most_s=None)
