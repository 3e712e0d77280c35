"""`bootc status`: the host document as text for people, YAML or JSON."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from bootcpy.cli.output import print_json, print_line
from bootcpy.errors import BootcpyError

_FORMAT_VERSIONS = (0, 1)  # both mean v1, as in bootc


class OutputFormat(StrEnum):
    """The forms the host document can be printed in."""

    HUMANREADABLE = "humanreadable"
    YAML = "yaml"
    JSON = "json"


def status(
    form: Annotated[
        OutputFormat | None,
        typer.Option(
            "--format",
            help="Print in this form; the default is text on a terminal and YAML elsewhere.",
        ),
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", hidden=True, help="The same as --format json.")
    ] = False,
    format_version: Annotated[
        int, typer.Option("--format-version", help="Print this version of the document (1).")
    ] = 1,
    booted: Annotated[
        bool, typer.Option("--booted", help="Show only the booted deployment.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Add stateroot, commit and more to the text.")
    ] = False,
) -> None:
    """Show what is booted, what is staged, and what can be rolled back to.

    Prints the host document org.containers.bootc/v1.
    """
    if format_version not in _FORMAT_VERSIONS:
        raise BootcpyError(
            f"Unsupported format version: {format_version}", hint="the only version is 1"
        )
    from bootcpy.verbs.host import status as verb

    found = verb.status(booted_only=booted)
    host = found.host
    if host.status.booted is not None and (arrival := verb.read_warning()) is not None:
        # On stderr: the document has no place for it.
        print_line(f"warning: {arrival.message}", file=sys.stderr)
        print_line(f"hint: {arrival.hint}", file=sys.stderr)
    match form or _default_form(json_wanted=json_):
        case OutputFormat.HUMANREADABLE:
            from bootcpy.cli.host.status_text import render_host

            sys.stdout.write(render_host(host, verbose=verbose, accepted=found.accepted))
        case OutputFormat.YAML:
            from bootcpy.model.host.document_text import to_yaml

            sys.stdout.write(to_yaml(host))
        case OutputFormat.JSON:
            from bootcpy.model.host.document_text import to_json

            print_json(to_json(host))


def _default_form(*, json_wanted: bool) -> OutputFormat:
    if json_wanted:
        return OutputFormat.JSON
    return OutputFormat.HUMANREADABLE if sys.stdout.isatty() else OutputFormat.YAML
