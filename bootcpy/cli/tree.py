"""The command tree, as typer has it, made of the table `bootcpy.cli.commands`."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any

from bootcpy import __version__
from bootcpy.cli.commands import COMMANDS, GROUPS, Command
from bootcpy.cli.typer_alone import typer
from bootcpy.errors import ExitStatus, UsageError

# What typer raises for words it does not know; newer ones have a click of their own.
_WrongWords: type[Any] = typer.BadParameter.__mro__[1]


def run(program: typer.Typer, name: str, words: Sequence[str]) -> int:
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
