"""The program: builds the command tree, runs the command, and ends with its status.

The commands themselves are in the table `bootcpy.cli.commands`. What a command raises
on purpose (`BootcpyError`) becomes one `error:` line, a `hint:` line and an exit status
here; anything else is a bug and keeps its traceback.

What takes time to import is imported where it is needed: `main()` must have been called
by then, so that a signal finds its handler.
"""

import errno
import os
import sys
from typing import TYPE_CHECKING

from bootcpy.cli.stopping import Stopped, Stopping
from bootcpy.errors import BootcpyError, ExitStatus, NoSpaceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bootcpy.cli.commands import Command

_LEVELS = {
    "error": "error",
    "warn": "warning",
    "warning": "warning",
    "info": "info",
    "debug": "debug",
    "trace": "debug",
}


def main(argv: "Sequence[str] | None" = None, commands: "Sequence[Command] | None" = None) -> int:
    """Run a command line, by default this process's own, and return its exit status."""
    name = "bootc"
    stopping = Stopping(to_the_end=argv is None)
    try:
        with stopping:
            from bootcpy.cli.commands import COMMANDS, named_by
            from bootcpy.cli.tree import run, tree

            name, words = called_as(argv or sys.argv)
            _set_up_environment()
            try:
                status = run(tree(named_by(words, commands or COMMANDS)), name, words)
            finally:
                sys.stdout.flush()  # here, where a reader that went away can be told from a bug
    except BootcpyError as e:
        _report(e)
        return e.exit_status if stopping.by is None else _status_of(stopping.by)
    except Stopped as e:
        print(f"{name}: stopped by {e.signal.name}", file=sys.stderr)
        return _status_of(e.signal)
    except BrokenPipeError:
        return _reader_went_away()
    except OSError as e:
        error = _explained(e)
        if error is None:
            raise
        _report(error)
        return error.exit_status
    return status


def _explained(error: OSError) -> BootcpyError | None:
    """Return what to say of an error that has its cause in a disk, None if it has not."""
    from bootcpy.model.base.io_errors import DISK_ERRNOS, FAILING_HINT

    if error.errno == errno.ENOSPC:
        _drop_output()
        return NoSpaceError(f"no space left to write {error.filename or 'the output'}")
    if error.errno not in DISK_ERRNOS:
        return None
    where = f"{error.filename} " if error.filename else ""
    return BootcpyError(
        f"{where}cannot be read or written: {error.strerror}".strip(), hint=FAILING_HINT
    )


def _status_of(signum: int) -> ExitStatus:
    return ExitStatus(128 + signum)  # as a shell would say it


def called_as(argv: "Sequence[str]") -> tuple[str, list[str]]:
    """Return the program's name and the words after it, from `argv`."""
    from bootcpy.cli.commands import NAMES

    name = os.path.basename(argv[0])  # noqa: PTH119 - see the module text
    if name in NAMES:
        return "bootc", [*NAMES[name].split(), *argv[1:]]
    return (name if name == "bootc" else "bootcpy"), list(argv[1:])


def _report(error: BootcpyError) -> None:
    from bootcpy.cli.output import print_error

    print_error(error)


def _reader_went_away() -> int:
    """End quietly when stdout was a pipe that nobody reads any more, as in `bootc … | head`."""
    _drop_output()
    return ExitStatus.FAILED


def _drop_output() -> None:
    # The interpreter flushes stdout once more when it ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _set_up_environment() -> None:
    """Give tools a home directory, as bootc does, our log a level, and output a place."""
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by who called us
            setattr(sys, stream, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    import logging

    from bootcpy.cli.output import LogLine

    if os.geteuid() == 0:
        os.environ.setdefault("HOME", "/root")
    asked = os.environ.get("BOOTC_LOG") or os.environ.get("RUST_LOG") or ""
    handler = logging.StreamHandler()
    handler.setFormatter(LogLine("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("bootcpy").setLevel(log_level(asked))


def log_level(filter_text: str) -> int:
    """Return the level of a log filter: `debug`, or the plain part of `info,hyper=off`."""
    import logging

    levels: list[int] = [
        getattr(logging, _LEVELS[part].upper())
        for part in filter_text.lower().split(",")
        if part in _LEVELS
    ]
    return levels[0] if levels else logging.WARNING
