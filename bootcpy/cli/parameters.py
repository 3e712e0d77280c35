"""What a command takes, read from the annotations of its function.

For completion scripts and manual pages. Not asked of typer, because what it makes of the
annotations differs by version.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

from typer.models import OptionInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """An argument or option as its user meets it."""

    names: tuple[str, ...]  # none for an argument
    metavar: str
    values: tuple[str, ...]  # what may be said; empty if that is anything
    takes_value: bool
    help: str
    default: str | None
    hidden: bool


def parameters(function: Callable[..., None]) -> tuple[Parameter, ...]:
    """Return what `function` takes, in its order."""
    hints = get_type_hints(function, include_extras=True)
    signature = inspect.signature(function)
    return tuple(
        _parameter(name, hints[name], each.default) for name, each in signature.parameters.items()
    )


def _parameter(name: str, hint: Any, default: object) -> Parameter:  # noqa: ANN401 - a type
    kind, about = get_args(hint)[:2]
    types = [each for each in (kind, *get_args(kind)) if isinstance(each, type)]
    choices = next((each for each in types if issubclass(each, Enum)), ())
    # In `Annotated`, typer takes the first name for the default, and moves it later.
    first = (about.default,) if isinstance(about.default, str) else ()
    names = (*first, *(about.param_decls or ())) or (f"--{name.replace('_', '-')}",)
    if isinstance(default, Enum):
        default = default.value
    has_default = isinstance(default, str | int | Path) and not isinstance(default, bool)
    return Parameter(
        names=names if isinstance(about, OptionInfo) else (),
        metavar=about.metavar or name.upper(),
        values=tuple(str(choice.value) for choice in choices),
        takes_value=kind is not bool,
        help=" ".join((about.help or "").split()),
        default=str(default) if has_default else None,
        hidden=about.hidden,
    )


def summary(function: Callable[..., None]) -> str:
    """Return the first sentence of a command's help."""
    text = inspect.getdoc(function) or ""
    return text.partition("\n\n")[0].replace("\n", " ")
