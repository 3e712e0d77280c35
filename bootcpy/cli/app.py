"""The program: builds the command tree, runs the command, and ends with its status.

The commands themselves are in the table `bootcpy.cli.commands`. What a command raises
on purpose (`BootcpyError`) becomes one `error:` line, a `hint:` line and an exit status
here; anything else is a bug and keeps its traceback.
"""

import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

from bootcpy import __version__
from bootcpy.cli.commands import COMMANDS, GROUPS, NAMES, Command, named_by
from bootcpy.cli.output import LogLine, print_error
from bootcpy.cli.typer_alone import typer
from bootcpy.errors import BootcpyError, ExitStatus, NoSpaceError, UsageError

# What typer raises for words it does not know; newer ones have a click of their own.
_WrongWords: type[Any] = typer.BadParameter.__mro__[1]

_LEVELS = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": logging.DEBUG,
}


class _Stopped(BaseException):
    """A signal asked the program to end; unwinds the stack so that `with` blocks clean up."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signal = signal.Signals(signum)


def main(argv: Sequence[str] | None = None, commands: Sequence[Command] = COMMANDS) -> int:
    """Run a command line, by default this process's own, and return its exit status."""
    name, words = called_as(argv or sys.argv)
    _set_up_environment()
    try:
        with _signals_unwinding():
            try:
                status = _run(tree(named_by(words, commands)), name, words)
            finally:
                sys.stdout.flush()  # here, where a reader that went away can be told from a bug
    except BootcpyError as e:
        print_error(e)
        return e.exit_status
    except _Stopped as e:
        print(f"{name}: stopped by {e.signal.name}", file=sys.stderr)
        return ExitStatus.TERMINATED if e.signal is signal.SIGTERM else ExitStatus.INTERRUPTED
    except BrokenPipeError:
        return _reader_went_away()
    except OSError as e:
        if e.errno != errno.ENOSPC:
            raise
        _drop_output()
        error = NoSpaceError(f"no space left to write {e.filename or 'the output'}")
        print_error(error)
        return error.exit_status
    return status


def _run(program: typer.Typer, name: str, words: Sequence[str]) -> int:
    """Run the command that `words` name, and return the status it asks for.

    Raises:
        UsageError: the words are not ones it knows.
    """
    try:
        status: int | None = program(args=words, prog_name=name, standalone_mode=False)
    except _WrongWords as e:
        said = " ".join(e.format_message().split()).rstrip(".")
        asked = e.ctx.command_path if e.ctx else name
        raise UsageError(said, hint=f"see `{asked} --help`") from e
    return status or ExitStatus.OK


def called_as(argv: Sequence[str]) -> tuple[str, list[str]]:
    """Return the program's name and the words after it, from `argv`."""
    name = Path(argv[0]).name
    if name in NAMES:
        return "bootc", [*NAMES[name].split(), *argv[1:]]
    return (name if name == "bootc" else "bootcpy"), list(argv[1:])


def tree(commands: Sequence[Command] = COMMANDS) -> typer.Typer:
    """Return the command tree with `commands`, whose modules are imported by this."""
    root = _group()
    root.callback(invoke_without_command=True)(_root)
    groups: dict[str, typer.Typer] = {"": root}
    for command in commands:
        if command.group not in groups:
            about = GROUPS[command.group]
            group = groups[command.group] = _group()
            group.callback(invoke_without_command=True, help=about.help)(_require_command)
            root.add_typer(group, name=command.group, hidden=about.hidden)
        groups[command.group].command(
            command.name,
            hidden=command.hidden,
            context_settings={"ignore_unknown_options": command.takes_anything},
        )(function_of(command))
    return root


def function_of(command: Command) -> Callable[..., None]:
    """Return the function that runs `command`; imports its module."""
    module, _, name = command.function.partition(":")
    function: Callable[..., None] = getattr(import_module(f"bootcpy.cli.{module}"), name)
    return function


def _group() -> typer.Typer:
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _print_version(context: typer.Context, wanted: bool) -> None:
    if wanted:
        print(f"{context.find_root().info_name} {__version__}")
        raise typer.Exit


def _require_command(context: typer.Context) -> None:
    # Not typer's no_args_is_help: its status is 0 with one version and 2 with another.
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(ExitStatus.USAGE)


def _root(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Deploy and update the operating system from bootable container images."""
    _require_command(context)


def _reader_went_away() -> int:
    """End quietly when stdout was a pipe that nobody reads any more, as in `bootc … | head`."""
    _drop_output()
    return ExitStatus.FAILED


def _drop_output() -> None:
    # The interpreter flushes stdout once more when it ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _signals_unwinding() -> Generator[None]:
    """Turn the first SIGINT or SIGTERM into `_Stopped`; later ones wait for the clean-up."""

    def stop(signum: int, _frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            # Not SIG_IGN: the programs that clean up must not inherit deafness.
            signal.signal(each, lambda _signum, _frame: None)
        raise _Stopped(signum)

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _set_up_environment() -> None:
    """Give tools a home directory, as bootc does, our log a level, and output a place."""
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by who called us
            setattr(sys, stream, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    if os.geteuid() == 0:
        os.environ.setdefault("HOME", "/root")
    asked = os.environ.get("BOOTC_LOG") or os.environ.get("RUST_LOG") or ""
    handler = logging.StreamHandler()
    handler.setFormatter(LogLine("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("bootcpy").setLevel(log_level(asked))


def log_level(filter_text: str) -> int:
    """Return the level of a log filter: `debug`, or the plain part of `info,hyper=off`."""
    levels = [_LEVELS[part] for part in filter_text.lower().split(",") if part in _LEVELS]
    return levels[0] if levels else logging.WARNING
