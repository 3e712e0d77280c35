"""Who holds a lock, from what the kernel tells in /proc. Pure text work."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from bootcpy.model.base.printable import printable

_LONGEST_COMMAND: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process that may hold a lock."""

    pid: int
    parent: int
    command: str


def holds_lock(fdinfo: str) -> bool:
    """Tell whether a file is locked through a descriptor, by its text in /proc/PID/fdinfo.

    See proc_pid_fdinfo(5). Other than /proc/locks, it names the process also where the lock is
    an open file description's, as libostree's are.
    """
    return any(line.startswith("lock:") for line in fdinfo.splitlines())


def command_of(cmdline: bytes, comm: bytes) -> str:
    """Return a process's command line to show; what it is called where it has none."""
    words = cmdline.replace(b"\0", b" ").strip() or comm.strip()
    return words.decode(errors="backslashreplace")


def describe_holders(holders: Collection[Process]) -> str:
    """Name who is waited for; empty if nobody is known.

    Children that share a lock with the process that started them are left out.
    """
    pids = {each.pid for each in holders}
    first = sorted((each for each in holders if each.parent not in pids), key=lambda each: each.pid)
    named = [
        f"process {each.pid} ({printable(each.command, limit=_LONGEST_COMMAND)})" for each in first
    ]
    return f" held by {', '.join(named)}" if named else ""
