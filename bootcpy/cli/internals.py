"""`bootc internals`: what units, installers and tests of the system call; not stable."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bootcpy.cli import progress
from bootcpy.cli.output import print_line
from bootcpy.model.base.progress import Silent


class Schema(StrEnum):
    """What there is a JSON Schema of."""

    HOST = "host"
    PROGRESS = "progress"


def boot_check() -> None:
    """Fail if the update that was staged before this boot was not applied."""
    from bootcpy.verbs.boot import boot_check as verb

    verb.boot_check(Silent())


def publish_motd() -> None:
    """Write the message of the day: what is staged, or what was not applied."""
    from bootcpy.verbs.boot import boot_check as verb

    verb.publish_motd()


def systemd_generator(
    normal: Annotated[Path, typer.Argument(help="Where to write units.")],
    early: Annotated[Path | None, typer.Argument(help="Not used.")] = None,
    late: Annotated[Path | None, typer.Argument(help="Not used.")] = None,
) -> None:
    """Enable bootc's own units where ostree booted the system (systemd.generator(7))."""
    from bootcpy.verbs.boot import systemd_generator as verb

    verb.systemd_generator([each for each in (normal, early, late) if each is not None])


def fixup_etc_fstab() -> None:
    """Let /etc/fstab mount a root file system that cannot be written read-only."""
    from bootcpy.verbs.boot import fixup_fstab as verb

    verb.fixup_etc_fstab()


def cleanup() -> None:
    """Remove the images, layers and objects that no deployment needs."""
    from bootcpy.verbs.host import cleanup as verb

    with progress.opened() as sink:
        for line in verb.cleanup(sink):
            print_line(line)


def fsck(
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Fetch layers that were never checked here.")
    ] = False,
) -> None:
    """Check the boot entries, and that deployed images are what their layers make."""
    from bootcpy.verbs.host import fsck as verb

    with progress.opened() as sink:
        findings = verb.fsck(sink, fetch=fetch)
    for finding in findings:
        if finding.unknown is not None:
            print_line(f"unknown: {finding.check}: {finding.unknown}")
        if finding.problem is not None:
            print_line(f"fsck error: {finding.check}: {finding.problem}", file=sys.stderr)
        elif finding.unknown is None:
            print_line(f"ok: {finding.check}")
    verb.require_no_problem(findings)


def print_json_schema(
    of: Annotated[Schema, typer.Option("--of", help="What to print the schema of.")],
) -> None:
    """Print the JSON Schema of the host document, or of the progress events."""
    from bootcpy.model.host import document_schema, progress_schema

    text = document_schema.schema_text() if of is Schema.HOST else progress_schema.schema_text()
    print(text, end="")
