"""Notes every line of some modules that runs, in each Python process that has this on its path.

`SEEN_LINES_BELOW` is the directory of the modules, `SEEN_LINES_IN` the file that is appended to:
`FILE:LINE`, written when a line runs for the first time in a process. So nothing is lost where a
process forks, leaves by `os._exit` or is killed, and a short command is not made half as slow
again by importing coverage.py, which only reads the record: `tools.verbs_coverage`.
"""

import os
import sys
from types import CodeType
from typing import Any


def _watch(below: str, record: str) -> None:
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined]  # of Python 3.12
    tool, events = monitoring.COVERAGE_ID, monitoring.events

    def started(code: CodeType, _offset: int) -> object:
        if code.co_filename.startswith(below):
            monitoring.set_local_events(tool, code, events.LINE)
        return monitoring.DISABLE

    def ran(code: CodeType, line: int) -> object:
        _note(record, f"{code.co_filename}:{line}\n")
        return monitoring.DISABLE

    monitoring.use_tool_id(tool, "bootcpy-tests")
    monitoring.register_callback(tool, events.PY_START, started)
    monitoring.register_callback(tool, events.LINE, ran)
    monitoring.set_events(tool, events.PY_START)


def _note(record: str, text: str) -> None:
    """Append `text`; the file is not held open, since programs count what they have open."""
    try:
        descriptor = os.open(record, os.O_WRONLY | os.O_APPEND)
    except OSError:  # a user or a root directory of the test's that may not
        return
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


if "SEEN_LINES_IN" in os.environ:
    _watch(os.environ["SEEN_LINES_BELOW"], os.environ["SEEN_LINES_IN"])
