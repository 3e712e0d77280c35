"""`bootc completion`: scripts that complete the commands and options of this very program."""

import inspect
from collections.abc import Sequence
from enum import Enum
from typing import Annotated, Any, get_args, get_type_hints

import typer
from typer.models import OptionInfo

from bootcpy.cli.commands import COMMANDS, GROUPS, Command
from bootcpy.model.completion import Choice, Shell, Words, completion_script

_HELP = Choice(names=("--help", "-h"), help="Print help and exit.")
_VERSION = Choice(names=("--version",), help="Print the version and exit.")


def completion(
    shell: Annotated[Shell, typer.Argument(help="The shell to write for.")],
) -> None:
    """Print the script that lets a shell complete bootc's commands and options.

    For bash, as root: bootc completion bash > /etc/bash_completion.d/bootc
    """
    print(completion_script(shell, "bootc", words(COMMANDS)), end="")


def words(commands: Sequence[Command]) -> tuple[Words, ...]:
    """Return what can stand where, of everything that help shows."""
    visible = [
        each
        for each in commands
        if not each.hidden and not (each.group and GROUPS[each.group].hidden)
    ]
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
    text = inspect.getdoc(_function(command)) or ""
    return text.partition("\n\n")[0].replace("\n", " ")


def _function(command: Command) -> Any:  # noqa: ANN401 - as app.function_of
    from bootcpy.cli.app import function_of

    return function_of(command)


def _choices(command: Command) -> list[Choice]:
    hints = get_type_hints(_function(command), include_extras=True)
    found = [(name, *get_args(hint)[:2]) for name, hint in hints.items() if name != "return"]
    return [
        _choice(name, kind, about)
        for name, kind, about in found
        if isinstance(about, OptionInfo) and not about.hidden
    ]


def _choice(name: str, kind: Any, about: OptionInfo) -> Choice:  # noqa: ANN401 - a type or union
    # In `Annotated`, typer takes the first name for the default.
    first = (about.default,) if isinstance(about.default, str) else ()
    types = [each for each in (kind, *get_args(kind)) if isinstance(each, type)]
    values = next((each for each in types if issubclass(each, Enum)), None)
    return Choice(
        names=(*first, *(about.param_decls or ())) or (f"--{name.replace('_', '-')}",),
        help=about.help or "",
        takes_value=kind is not bool,
        values=() if values is None else tuple(str(each.value) for each in values),
    )
