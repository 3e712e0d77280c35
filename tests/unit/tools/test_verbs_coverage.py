import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import verbs_coverage
from tools.image import ROOT

_SOURCE = '''\
"""A module."""

import os


def child(forked: bool) -> None:
    if forked:
        pid = os.fork()
        if not pid:
            ran = True
            os._exit(not ran)
        os.waitpid(pid, 0)
    else:
        raise ValueError(
            "never"
        )


child(True)
'''
_NEVER = {14, 15}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "measured").mkdir()
    path = tmp_path / "measured/one.py"
    path.write_text(_SOURCE, encoding="utf-8")
    return path


def test_lines_that_did_not_run_are_missed(source: Path, tmp_path: Path) -> None:
    code = compile(_SOURCE, source, "exec")
    runnable = set(verbs_coverage._lines(code))  # noqa: SLF001 - the compiler's, which differ
    record = tmp_path / "record"
    record.write_text("".join(f"{source}:{line}\n" for line in runnable - _NEVER))
    (found,) = verbs_coverage.modules(source.parent, verbs_coverage.read_seen([record]))
    assert (found.name, set(found.missed)) == ("one.py", _NEVER)
    assert 50 < verbs_coverage.percent([found]) < 100
    assert verbs_coverage.spans(found) == "14-15"
    (nothing,) = verbs_coverage.modules(source.parent, {})
    assert verbs_coverage.percent([nothing]) == 0


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with Python 3.12")
def test_processes_note_the_lines_they_run(source: Path, tmp_path: Path) -> None:
    record = tmp_path / "record"
    record.touch()
    environment = {
        "PYTHONPATH": str(ROOT / "tools/seen_lines"),
        "SEEN_LINES_BELOW": f"{source.parent}{os.sep}",
        "SEEN_LINES_IN": str(record),
    }
    subprocess.run([sys.executable, source], env=environment, check=True)
    (found,) = verbs_coverage.modules(source.parent, verbs_coverage.read_seen([record]))
    assert set(found.missed) == _NEVER
