import json
import logging
import sys

import pytest

from bootcpy.cli.output import LogLine, print_error, print_json, print_line
from bootcpy.errors import BootcpyError

_HOSTILE = "\x1b[2J\x9b31m\u202e\nerror: forged\x7f"
_SHOWN = "\\x1b[2J\\x9b31m\\u202e\\nerror: forged\\x7f"


def test_an_error_is_a_line_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(BootcpyError(f"no {_HOSTILE}", hint=f"try {_HOSTILE}"))
    assert capsys.readouterr() == ("", f"error: no {_SHOWN}\nhint: try {_SHOWN}\n")


def test_a_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_line(_HOSTILE)
    print_line(_HOSTILE, file=sys.stderr)
    assert capsys.readouterr() == (f"{_SHOWN}\n", f"{_SHOWN}\n")


def test_json_means_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(json.dumps({"version": _HOSTILE}, ensure_ascii=False))
    out, _ = capsys.readouterr()
    assert out == '{"version":' + ' "\\u001b[2J\\u009b31m\\u202e\\nerror: forged\\u007f"}'
    assert json.loads(out) == {"version": _HOSTILE}


def test_a_log_record_is_one_line_above_its_traceback() -> None:
    form = LogLine("%(levelname)s: %(message)s")
    record = logging.makeLogRecord({"msg": "%s", "args": (_HOSTILE,), "levelname": "WARNING"})
    assert form.format(record) == f"WARNING: {_SHOWN}"
    record.exc_text = "Traceback\n  line"
    assert form.format(record) == f"WARNING: {_SHOWN}\nTraceback\n  line"
