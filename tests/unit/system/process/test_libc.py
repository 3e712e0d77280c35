"""System calls through the C library: that they are made, and what they refuse."""

import errno
import os
import signal
import time
from pathlib import Path

import pytest

from bootcpy.system.process.libc import openat2, parent_death, syncfs

_NO_SYMLINKS = 0x04


def test_parent_death_ends_a_child_whose_parent_is_gone() -> None:
    told, tells = os.pipe()
    asked, answers = os.pipe()
    die_with_parent = parent_death(signal.SIGKILL)
    parent = os.fork()
    if parent == 0:
        if os.fork() == 0:
            os.close(told)
            die_with_parent()
            os.write(answers, b"ready")
            time.sleep(20)
            os.write(tells, b"survived")
            os._exit(0)
        os.close(tells)
        os.read(asked, 5)
        os._exit(0)
    os.close(tells)
    os.waitpid(parent, 0)
    assert os.read(told, 8) == b""  # nobody holds the other end any more
    for fd in (told, asked, answers):
        os.close(fd)


def test_syncfs(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    syncfs(fd)
    os.close(fd)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        syncfs(fd)


def test_openat2_goes_by_what_is_to_be_resolved(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    directory = os.open(tmp_path, os.O_RDONLY)
    fd = openat2(directory, "link", flags=os.O_RDONLY, resolve=0)
    assert os.read(fd, 9) == b"text"
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        openat2(directory, "link", flags=os.O_RDONLY, resolve=_NO_SYMLINKS)
    os.close(fd)
    os.close(directory)
