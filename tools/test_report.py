"""Say what the test sessions found, after all of them: `python -m tools.test_report [--forget]`.

A run of everything prints tens of thousands of lines. What failed stands at their end, where
whoever looks at a log looks first, with what each test suite and the slowest tests took.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from tools import image

REPORTS = image.ROOT / ".cache" / "reports"
_SLOWEST = 10
_MESSAGE_LINES = 12  # of each failure, the last ones: there the error is


@dataclass(frozen=True, slots=True)
class Result:
    """One test's end.

    Attributes:
        failure: what it failed with; empty if it passed or was skipped.
        skipped: why it did not run; empty if it did.
    """

    suite: str
    name: str
    duration_s: float
    failure: str = ""
    skipped: str = ""


def forget() -> None:
    """Remove what earlier runs left."""
    for report in REPORTS.glob("*.xml"):
        report.unlink()


def read_results(reports: Iterable[Path]) -> list[Result]:
    """Return what the given files of pytest say."""
    return [
        _result(report.stem, case)
        for report in reports
        for case in ET.parse(report).iter("testcase")  # noqa: S314 - pytest wrote it
    ]


def _result(suite: str, case: ET.Element) -> Result:
    bad = next((child for child in case if child.tag in {"failure", "error"}), None)
    skipped = case.find("skipped")
    return Result(
        suite=suite,
        name=f"{case.get('classname', '')}::{case.get('name', '')}",
        duration_s=float(case.get("time", 0)),
        failure="" if bad is None else bad.text or bad.get("message", "") or "no message",
        skipped="" if skipped is None else skipped.get("message", ""),
    )


def described(results: Sequence[Result]) -> list[str]:
    """Return the lines of the report."""
    lines = []
    for suite in dict.fromkeys(result.suite for result in results):
        own = [result for result in results if result.suite == suite]
        failed, skipped = sum(bool(x.failure) for x in own), sum(bool(x.skipped) for x in own)
        took_s = sum(result.duration_s for result in own)
        lines.append(
            f"{suite}: {len(own)} tests, {failed} failed, {skipped} skipped, {took_s:.0f} s"
        )
    slowest = sorted(results, key=lambda result: result.duration_s, reverse=True)[:_SLOWEST]
    lines += ["the slowest:"] if slowest else []
    lines += [f"{result.duration_s:7.1f} s  {result.name}" for result in slowest]
    lines += [f"skipped  {result.name}: {result.skipped}" for result in results if result.skipped]
    for result in results:
        if result.failure:
            lines += [f"FAILED   {result.name}"]
            lines += [f"    {line}" for line in result.failure.splitlines()[-_MESSAGE_LINES:]]
    return lines


def main() -> int:
    """Print the report, or forget earlier ones; the exit status says nothing about the tests."""
    if sys.argv[1:] == ["--forget"]:
        forget()
        return 0
    for line in described(read_results(sorted(REPORTS.glob("*.xml")))):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
