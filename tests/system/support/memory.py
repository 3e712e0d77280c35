"""How much memory a program and all that descend from it have together."""

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SAMPLE_INTERVAL_S = 0.02


@dataclass(frozen=True)
class Run:
    """What a command printed and took; `peak_bytes` is what its processes had at the most.

    That is memory of their own, which does not count what they share with files.
    """

    stdout: str
    stderr: str
    status: int
    peak_bytes: int
    wall_s: float


def run_and_watch(argv: Sequence[str]) -> Run:
    """Run a command to its end, looking at its processes all the while."""
    began, peak = time.monotonic(), 0
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True) as running:
        while running.poll() is None:
            peak = max(peak, sum(map(_own_bytes, _tree(running.pid))))
            time.sleep(_SAMPLE_INTERVAL_S)
        stdout, stderr = running.communicate()
    return Run(stdout, stderr, running.returncode, peak, time.monotonic() - began)


def _tree(pid: int) -> list[int]:
    found = [pid]
    try:
        tasks = [task.name for task in Path(f"/proc/{pid}/task").iterdir()]
        for task in tasks:
            children = Path(f"/proc/{pid}/task/{task}/children").read_text(encoding="ascii")
            for child in children.split():
                found += _tree(int(child))
    except OSError:  # it has ended
        pass
    return found


def _own_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    line = next((line for line in lines if line.startswith("RssAnon:")), "RssAnon: 0 kB")
    return int(line.split()[1]) * 1024
