"""`bootc loader-entries`: kernel arguments that other programs own."""

import re
from typing import Annotated

import typer

from bootcpy.errors import BootcpyError

_NAME = re.compile(r"[A-Za-z0-9_-]+")


def set_options(
    source: Annotated[str, typer.Option("--source", help="Who owns the arguments.")],
    options: Annotated[
        str | None,
        typer.Option("--options", help="The arguments; without this option, the owner is removed."),
    ] = None,
) -> None:
    """Set the kernel arguments that a program owns, in place of those it had before."""
    if not _NAME.fullmatch(source):
        raise BootcpyError(
            f"invalid source name {source!r}", hint="use letters, digits, dashes and underscores"
        )
    from bootcpy.verbs import loader_entries as verb

    verb.set_options_for_source(source, options)
