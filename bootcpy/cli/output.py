"""What the commands print: the one place where text leaves for a terminal, a pipe or a log."""

import logging
import os
import sys
from typing import TextIO

from bootcpy.errors import BootcpyError
from bootcpy.model.base.printable import escaped_json, printable

_LONGEST = 4096  # characters of a message: some screens
_RED, _PLAIN = "\x1b[31m", "\x1b[0m"


def print_line(text: str, *, file: TextIO | None = None) -> None:
    """Print one line, at once; what is not printable in it shows as an escape."""
    print(printable(text), file=file or sys.stdout, flush=True)


def print_json(document: str) -> None:
    """Print a JSON document as it is, but for what is not printable in its strings."""
    sys.stdout.write(escaped_json(document))


def print_error(error: BootcpyError) -> None:
    """Say on stderr what went wrong and what to do about it."""
    coloured = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    label = f"{_RED}error:{_PLAIN}" if coloured else "error:"
    print(label, printable(error.message, limit=_LONGEST), file=sys.stderr)
    if error.hint:
        print("hint:", printable(error.hint, limit=_LONGEST), file=sys.stderr)


class LogLine(logging.Formatter):
    """The form of our log: a record is one line, whatever foreign text it quotes."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line; a traceback that follows it is left as it is."""
        record.message = printable(record.message)
        return super().formatMessage(record)
