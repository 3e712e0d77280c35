"""How long an installation takes against copying the same files, and how much memory.

`python -m bench.install [--runs N]` on the host (root). Each run, inside a container of
the built image, does in turn: `cp -a` of the image's own tree onto a fresh ext4 on a loop
device, with sync; then `bootc install to-disk` of the image onto a disk file. Both begin
with cold caches. The figures are medians, and ratios of the two; memory is the largest
sum over the process tree of what each process alone accounts for (PSS), from a run of its own.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.in_container import measure

_DISK_BYTES = 8 << 30
_SAMPLE_INTERVAL_S = 0.05
_MIB = 1 << 20
_MARK = "BENCH "  # before the line of figures, among what podman prints


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a command took: seconds on the clock, and of processor time."""

    wall_s: float
    cpu_s: float


def measured(work: Callable[[], None]) -> Cost:
    """Run `work`, whose children do the work, with cold caches; return what they took."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    work()
    wall_s = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    return Cost(wall_s=wall_s, cpu_s=used)


def fresh_disk(path: Path) -> None:
    """Make an empty sparse disk file."""
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(_DISK_BYTES)


def run(*argv: str | os.PathLike[str]) -> None:
    """Run a command to its end, without its output."""
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def copy_tree(directory: Path) -> Cost:
    """Copy the container's own root onto a fresh ext4, as `cp -a` does, and sync it."""
    disk, mounted = directory / "copy.img", directory / "mounted"
    fresh_disk(disk)
    mounted.mkdir(exist_ok=True)
    run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", disk)
    run("mount", "-o", "loop", disk, mounted)
    try:

        def work() -> None:
            run("cp", "-a", "--one-file-system", "/.", mounted)
            run("sync", "--file-system", mounted)

        return measured(work)
    finally:
        run("umount", mounted)
        disk.unlink()


def install_argv(disk: Path) -> list[str]:
    """Return the command that is measured."""
    return ["bootc", "install", "to-disk", "--via-loopback", "--filesystem=ext4", str(disk)]


def install(directory: Path) -> Cost:
    """Install the image onto a fresh disk file."""
    disk = directory / "install.img"
    fresh_disk(disk)
    try:
        return measured(lambda: run(*install_argv(disk)))
    finally:
        disk.unlink()


def peak_memory_bytes(directory: Path) -> int:
    """Install once more and return the largest memory of the whole process tree."""
    disk = directory / "memory.img"
    fresh_disk(disk)
    peak = 0
    with subprocess.Popen(install_argv(disk), stdout=subprocess.DEVNULL) as child:
        while child.poll() is None:
            peak = max(peak, tree_memory_bytes(child.pid))
            time.sleep(_SAMPLE_INTERVAL_S)
    disk.unlink()
    if child.returncode:
        raise SystemExit(child.returncode)
    return peak


def tree_memory_bytes(pid: int) -> int:
    """Return the memory of a process and all that descend from it; shared pages count once."""
    return sum(map(_memory_bytes, _tree(pid)))


def _tree(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found = [pid]
    for task in _listed(Path(f"/proc/{pid}/task")):
        try:
            children = Path(f"/proc/{pid}/task/{task}/children").read_text(encoding="ascii")
        except OSError:
            continue
        for child in children.split():
            found += _tree(int(child))
    return found


def _listed(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208 - names are all that is wanted
    except OSError:
        return []


def _memory_bytes(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:  # it has ended
        return 0
    line = next((line for line in rollup.splitlines() if line.startswith("Pss:")), "Pss: 0 kB")
    return int(line.split()[1]) * 1024


def inside(runs: int, directory: Path) -> None:
    """Do the measurements and print the figures as JSON; called in the container."""
    copies: list[Cost] = []
    installs: list[Cost] = []
    for _ in range(runs):
        copies.append(copy_tree(directory))
        installs.append(install(directory))
    figures = {
        "copy": [_plain(cost) for cost in copies],
        "install": [_plain(cost) for cost in installs],
        "peakMemoryBytes": peak_memory_bytes(directory),
    }
    print(_MARK + json.dumps(figures))


def _plain(cost: Cost) -> dict[str, float]:
    return {"wall_s": cost.wall_s, "cpu_s": cost.cpu_s}


def report(figures: dict[str, Any]) -> str:
    """Return the figures as the README shows them."""

    def median(work: str, what: str) -> float:
        return float(statistics.median(run[what] for run in figures[work]))

    lines = [f"{'':24}{'wall':>10}{'processor':>12}"]
    for name, work in (("cp -a and sync", "copy"), ("bootc install to-disk", "install")):
        wall, cpu = median(work, "wall_s"), median(work, "cpu_s")
        lines.append(f"{name:24}{wall:>8.1f} s{cpu:>10.1f} s")
    wall = median("install", "wall_s") / median("copy", "wall_s")
    cpu = median("install", "cpu_s") / median("copy", "cpu_s")
    lines.append(f"{'ratio':24}{wall:>9.2f}x{cpu:>11.2f}x")
    peak = figures["peakMemoryBytes"] / _MIB
    lines.append(f"peak memory of the installation, all its processes: {peak:.0f} MiB")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the image, measure inside it, print the report."""
    printed = measure(
        "bench.install",
        inside,
        description=__doc__,
        title="Measuring copies and installations in turn",
        arguments=arguments,
    )
    if printed is not None:
        line = next(line for line in printed.splitlines() if line.startswith(_MARK))
        print(report(json.loads(line.removeprefix(_MARK))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
