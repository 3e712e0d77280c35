"""How much of `bootcpy/verbs` the system tests run: `python -m tools.verbs_coverage RECORD...`.

A `RECORD` is what `tools/seen_lines` wrote. To be run by the same Python as the tests, since which
lines there are to run is asked of its compiler.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

from bootcpy.errors import ExitStatus

MEASURED = Path("bootcpy/verbs")
# `container prepare` rearranges the root it runs in: it runs wherever an image is built.
NOT_MEASURED = "container"
FLOOR_PERCENT = 91  # they reach 92.6, of which some lines run by chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """The lines of a module that can run, and those that did not."""

    name: str
    runnable: frozenset[int]
    missed: frozenset[int]


def modules(root: Path, seen: Mapping[str, set[int]]) -> list[Module]:
    """Return the modules below `root`; `seen` has the lines that ran, by the module's path."""
    found = []
    for path in sorted(root.rglob("*.py")):
        name = str(path.relative_to(root))
        if name.startswith(f"{NOT_MEASURED}/"):
            continue
        code = compile(path.read_text(encoding="utf-8"), path, "exec")
        runnable = frozenset(_lines(code))
        missed = runnable - seen.get(str(path), set())
        found.append(Module(name=name, runnable=runnable, missed=missed))
    return found


def _lines(code: CodeType) -> Iterator[int]:
    yield from (line for _, _, line in code.co_lines() if line)
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _lines(each)


def read_seen(records: Iterable[Path]) -> dict[str, set[int]]:
    """Return the lines that ran, by the path of their file."""
    seen: dict[str, set[int]] = {}
    for record in records:
        for entry in record.read_text(encoding="utf-8").splitlines():
            file, _, line = entry.rpartition(":")
            seen.setdefault(file, set()).add(int(line))
    return seen


def percent(found: list[Module]) -> float:
    """Return how much of what can run did run."""
    runnable = sum(len(module.runnable) for module in found)
    return 100 * (1 - sum(len(module.missed) for module in found) / runnable)


def spans(module: Module) -> str:
    """Return the missed lines as text; one that only lines without code divide is one span."""
    found: list[list[int]] = []
    for line in sorted(module.runnable):
        if line not in module.missed:
            found.append([])
        elif not found or not found[-1]:
            found[-1:] = [[line, line]]
        else:
            found[-1][1] = line
    return ", ".join(f"{a}-{b}" if a != b else f"{a}" for a, b in filter(None, found))


def main(records: Iterable[Path]) -> int:
    """Print what no test runs, and return whether it is more than it may be."""
    found = modules(MEASURED.resolve(), read_seen(records))
    for module in found:
        if module.missed:
            print(f"{module.name}: {spans(module)}")
    reached = percent(found)
    print(f"{reached:.1f} % of the lines of {MEASURED} ran; {FLOOR_PERCENT} % have to")
    return ExitStatus.OK if reached >= FLOOR_PERCENT else ExitStatus.FAILED


if __name__ == "__main__":
    sys.exit(main(map(Path, sys.argv[1:])))
