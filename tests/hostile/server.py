"""Runs the program again and again without starting Python each time, and watches it.

One request for each line of stdin, one answer for each line of stdout, both JSON. The program
is imported once; every run is a fork of that, with its own arguments, environment and output,
that ends with the program's exit status. What a run leaves running comes to this process, which
says so.
"""

import ctypes
import json
import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from bootcpy.cli import app
from bootcpy.cli.commands import COMMANDS

_VERBS = (
    "host.change",
    "host.edit",
    "host.fsck",
    "host.status",
    "host.switch",
    "host.upgrade",
    "install.to_disk",
)
_LIBRARIES = ("rich.progress", "sh", "tomlkit", "yaml")
_PR_SET_CHILD_SUBREAPER = 36
_SAMPLE_S = 0.02
_PATIENCE_S = 5.0  # for what ends by itself a moment after its parent
_LIMIT_S = 120.0
_KIB = 1024


def serve() -> None:
    """Answer requests until stdin ends."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    for fd in (requests.fileno(), answers.fileno()):
        os.set_inheritable(fd, False)  # noqa: FBT003 - its only argument
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(null, fd)
    commands = {f"bootcpy.cli.{each.function.partition(':')[0]}" for each in COMMANDS}
    verbs = {f"bootcpy.verbs.{verb}" for verb in _VERBS}
    for name in (*commands, *verbs, *_LIBRARIES):
        import_module(name)
    mounts = _mounts()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for line in requests:
        answer = _answer(json.loads(line))
        answer["left"] += sorted(_mounts() - mounts)
        print(json.dumps(answer), file=answers, flush=True)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    pid = os.fork()
    if pid == 0:
        _be_the_program(request)
    peak = _Peak()
    deadline = time.monotonic() + _LIMIT_S
    while True:
        ended, status, used = os.wait4(pid, os.WNOHANG)
        if ended:
            break
        peak.look(pid)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(_SAMPLE_S)
    return {
        "status": os.waitstatus_to_exitcode(status),
        "peak_bytes": peak.bytes,
        "largest_bytes": used.ru_maxrss * _KIB,
        "left": _left(),
    }


def _mounts() -> set[str]:
    return set(Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines())


def _be_the_program(request: dict[str, Any]) -> None:
    status = 1
    try:
        for fd, name in ((1, "stdout"), (2, "stderr")):
            file = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(file, fd)
            os.close(file)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir("/")
        status = app.main(["bootc", *request["words"]])
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else 1
    except BaseException:  # noqa: BLE001 - what the interpreter does, without ending it
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


class _Peak:
    """The most memory that a process and all below it had at one time."""

    def __init__(self) -> None:
        self.bytes = 0

    def look(self, pid: int) -> None:
        pids = _tree(pid)
        anonymous = sum(_field(each, "status", "RssAnon:") for each in pids)
        if anonymous > self.bytes:
            # Pages shared since a fork count for each of the processes; this divides them.
            shared = sum(_field(each, "smaps_rollup", "Pss_Anon:") for each in pids)
            self.bytes = max(self.bytes, min(anonymous, shared or anonymous))


def _tree(pid: int) -> list[int]:
    return [pid, *(below for child in _children(pid) for below in _tree(child))]


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:  # it ended
        return []
    return [int(word) for word in text.split()]


def _field(pid: int, file: str, name: str) -> int:
    try:
        text = Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    lines = (line.split() for line in text.splitlines())
    return next((int(words[1]) * _KIB for words in lines if words[0] == name), 0)


def _left() -> list[str]:
    """Return what the run started and did not end, and end it."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        left = _children(os.getpid())
        if not left or time.monotonic() > deadline:
            break
        time.sleep(_SAMPLE_S)
    names = []
    for pid in left:
        names.append(Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").replace("\0", " "))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return names


if __name__ == "__main__":
    serve()
