"""Locks that others hold: who that is, and waiting for them so that a signal gets through."""

import fcntl
import logging
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bootcpy.model.base.locks import Process, command_of, describe_holders, holds_lock

log = logging.getLogger(__name__)

_FLOCK = struct.Struct("hhqqi4x")  # struct flock where off_t has 64 bits
_PROC = Path("/proc")
_SHORTEST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.25
_TOLD_AFTER_S = 2.0  # most locks are held for moments


def is_locked(path: Path, *, for_reading: bool = False) -> bool:
    """Return whether a lock (fcntl(2)) keeps us from writing to the file, or from reading it."""
    try:
        with path.open("rb") as file:
            kind = fcntl.F_RDLCK if for_reading else fcntl.F_WRLCK
            question = _FLOCK.pack(kind, os.SEEK_SET, 0, 0, 0)
            answer = _FLOCK.unpack(fcntl.fcntl(file, fcntl.F_OFD_GETLK, question))
    except OSError:
        return False
    return bool(answer[0] != fcntl.F_UNLCK)


def wait_for(what: str, path: Path, free: Callable[[], bool], *, most_s: float | None) -> None:
    """Wait until `free`, and say who holds `what`, which is the file `path`, if that takes long.

    Returns after `most_s` seconds in any case. By polling: a signal does not get through to
    libostree's own wait, and may come when we are not waiting yet.
    """
    began_s = time.monotonic()
    pause_s, told = _SHORTEST_PAUSE_S, False
    while not free():
        waited_s = time.monotonic() - began_s
        if not told and waited_s > _TOLD_AFTER_S:
            log.warning("waiting for %s%s", what, held_by(path))
            told = True
        if most_s is not None and waited_s > most_s:
            return
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def held_by(path: Path) -> str:
    """Return ` held by process 123 (bootc upgrade)`, empty if nobody is found.

    Processes are found that are seen from here, and that we may look into.
    """
    try:
        file = path.stat()
    except FileNotFoundError:
        return ""
    return describe_holders([each for each in _holders_of(file) if each.pid != os.getpid()])


def _holders_of(file: os.stat_result) -> Iterator[Process]:
    for directory in _PROC.iterdir():
        if not directory.name.isdigit():
            continue
        try:
            if any(_locks(directory, fd.name, file) for fd in (directory / "fd").iterdir()):
                yield _process(directory)
        except OSError:  # it has ended meanwhile, or is another user's
            continue


def _locks(process: Path, fd: str, file: os.stat_result) -> bool:
    try:
        # In this order: to look at a file on a server that is gone may take for ever.
        holds = holds_lock((process / "fdinfo" / fd).read_text(encoding="utf-8"))
        return holds and os.path.samestat(file, (process / "fd" / fd).stat())
    except OSError:  # closed meanwhile
        return False


def _process(directory: Path) -> Process:
    status = (directory / "stat").read_text(encoding="utf-8", errors="replace")
    return Process(
        pid=int(directory.name),
        parent=int(status.rpartition(")")[2].split()[1]),
        command=command_of((directory / "cmdline").read_bytes(), (directory / "comm").read_bytes()),
    )
