"""Fuzz what reads others' input: `python -m tools.fuzz.session [--minutes N] [TARGET...]`.

Without a time every target gets the same few thousand inputs as in any other run, so that a run
of all tests has the same outcome twice. What is found is kept among the seeds, where a unit
test tries it from then on.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from bootcpy.errors import BootcpyError, ExitStatus
from tools import image, steps
from tools.fuzz.target import all_targets

SEEDS = image.ROOT / "tests" / "hostile" / "seeds"
_RUNS = 5000  # of each target, when no time is given
_SECONDS_AT_MOST = 10  # for these
_LONGEST_INPUT = 20_000
_INPUT_SECONDS = 20
_MEMORY_MB = 1024
_TAIL_LINES = 25


def fuzz(names: Sequence[str], minutes: float | None) -> list[str]:
    """Fuzz the targets `names`, in `minutes` altogether, and say what was found of each."""
    workers = os.cpu_count() or 1
    seconds = None if minutes is None else max(int(minutes * 60 * workers / len(names)), 1)
    with ThreadPoolExecutor(workers) as pool:
        told = pool.map(lambda name: _fuzz_one(name, seconds), names)
        return [each for each in told if each]


def _fuzz_one(name: str, seconds: int | None) -> str:
    """Fuzz one target, and return what was found: a line for the report and the traceback."""
    seeds = SEEDS / name
    with tempfile.TemporaryDirectory() as scratch:
        corpus, found = Path(scratch, "corpus"), Path(scratch, "found")
        shutil.copytree(seeds, corpus)
        found.mkdir()
        limit = (
            (f"-runs={_RUNS}", "-seed=1", f"-max_total_time={_SECONDS_AT_MOST}")
            if seconds is None
            else (f"-max_total_time={seconds}",)
        )
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tools.fuzz.one", name, *limit),
                *(f"-max_len={_LONGEST_INPUT}", f"-timeout={_INPUT_SECONDS}"),
                *(f"-rss_limit_mb={_MEMORY_MB}", f"-artifact_prefix={found}/", corpus),
            ],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            cwd=image.ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0", "TMPDIR": scratch},
        )
        kept = [_keep(each, seeds) for each in found.iterdir() if each.name.startswith("crash")]
    last = [line for line in done.stderr.splitlines() if "stat::" in line or "DONE" in line]
    print(f"{name}: {last[-1].strip() if last else 'ended'}", flush=True)
    if done.returncode == 0:
        return ""
    # The traceback is on stdout, the engine's own words are on stderr.
    story = "\n".join((done.stdout or done.stderr).splitlines()[-_TAIL_LINES:])
    return f"{name}: {', '.join(kept) or 'a time-out, or too much memory'}\n{story}"


def _keep(finding: Path, seeds: Path) -> str:
    content = finding.read_bytes()
    kept = seeds / f"found-{hashlib.sha256(content).hexdigest()[:12]}"
    kept.write_bytes(content)
    return str(kept.relative_to(image.ROOT))


def main() -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, help="how long, all targets together")
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    wanted = parser.parse_args()
    try:
        _require_engine()
        _require_known(wanted.targets)
        found = fuzz(wanted.targets or list(all_targets()), wanted.minutes)
    except BootcpyError as e:
        return steps.report(e)
    for each in found:
        print(f"\nFOUND {each}")
    return ExitStatus.FAILED if found else ExitStatus.OK


def _require_known(names: Sequence[str]) -> None:
    unknown = sorted(set(names) - set(all_targets()))
    if unknown:
        raise BootcpyError(
            f"there is no target {', '.join(unknown)}",
            hint=f"the targets are {', '.join(all_targets())}",
        )


def _require_engine() -> None:
    if find_spec("atheris") is None:
        raise BootcpyError(
            f"atheris, which makes the inputs, is not there for Python {sys.version.split()[0]} "
            f"on {os.uname().machine}",
            hint="use a Python that has it; the unit tests try what was found so far",
        )


if __name__ == "__main__":
    sys.exit(main())
