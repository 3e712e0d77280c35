"""`bootc completion`: scripts that complete the commands and options of this very program."""

from collections.abc import Sequence
from typing import Annotated

import typer

from bootcpy.cli.commands import COMMANDS, GROUPS, Command, is_shown
from bootcpy.cli.completion_script import Choice, Shell, Words, completion_script
from bootcpy.cli.parameters import parameters, summary
from bootcpy.cli.tree import function_of

_HELP = Choice(names=("--help", "-h"), help="Print help and exit.")
_VERSION = Choice(names=("--version",), help="Print the version and exit.")


def completion(
    shell: Annotated[Shell, typer.Argument(help="The shell that the script is for.")],
) -> None:
    """Print the script that lets a shell complete bootc's commands and options.

    For bash, as root: bootc completion bash > /etc/bash_completion.d/bootc
    """
    print(completion_script(shell, "bootc", words(COMMANDS)), end="")


def words(commands: Sequence[Command]) -> tuple[Words, ...]:
    """Return what can stand where, of everything that help shows."""
    visible = [each for each in commands if is_shown(each)]
    groups = list(dict.fromkeys(each.group for each in visible if each.group))
    top = [(each.name, _summary(each)) for each in visible if not each.group]
    top += [(group, GROUPS[group].help) for group in groups]
    return (
        Words(words="", commands=tuple(top), choices=(_VERSION, _HELP)),
        *(
            Words(
                words=group,
                commands=tuple((e.name, _summary(e)) for e in visible if e.group == group),
                choices=(_HELP,),
            )
            for group in groups
        ),
        *(Words(words=each.words, choices=(*_choices(each), _HELP)) for each in visible),
    )


def _summary(command: Command) -> str:
    return summary(function_of(command))


def _choices(command: Command) -> list[Choice]:
    return [
        Choice(names=each.names, help=each.help, takes_value=each.takes_value, values=each.values)
        for each in parameters(function_of(command))
        if each.names and not each.hidden
    ]
