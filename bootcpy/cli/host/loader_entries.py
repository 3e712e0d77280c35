"""`bootc loader-entries`: kernel arguments that other programs own."""

from typing import Annotated

import typer

from bootcpy.cli import progress
from bootcpy.cli.output import print_line


def set_options(
    source: Annotated[
        str, typer.Option("--source", help="Name of the program that owns the arguments.")
    ],
    options: Annotated[
        str | None,
        typer.Option(
            "--options", help="The kernel arguments; without this option, the owner is removed."
        ),
    ] = None,
) -> None:
    """Set the kernel arguments that a program owns, in place of those it had before."""
    from bootcpy.verbs.host import loader_entries as verb

    with progress.opened() as sink:
        outcome = verb.set_options_for_source(source, options, sink)
    for line in outcome.lines:
        print_line(line)
