"""The commands of a running host: upgrade, switch, rollback, edit, usr-overlay."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootcpy.cli import progress
from bootcpy.cli.output import print_line
from bootcpy.errors import UsageError
from bootcpy.model.host.options import SoftReboot, UpgradeOptions, check_options
from bootcpy.model.image.reference import (
    ContainerPolicy,
    ImageReference,
    Insecure,
    SignedImageReference,
    Transport,
)

if TYPE_CHECKING:
    from bootcpy.verbs.host.change import Outcome

Quiet = Annotated[bool, typer.Option("--quiet", help="Do not show progress.")]
Apply = Annotated[
    bool, typer.Option("--apply", help="Reboot at once if the next boot runs another deployment.")
]
Soft = Annotated[
    SoftReboot | None,
    typer.Option(
        "--soft-reboot",
        help="Restart only user space; if not possible, fail (required) or reboot normally (auto).",
    ),
]
ProgressFd = Annotated[
    int | None,
    typer.Option(
        "--progress-fd", hidden=True, help="Write progress as JSON lines to this descriptor."
    ),
]


def upgrade(
    quiet: Quiet = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only check whether there is an update.")
    ] = False,
    apply: Apply = False,
    soft_reboot: Soft = None,
    download_only: Annotated[
        bool,
        typer.Option(
            "--download-only", help="Stage the update, but hold it back from the next boot."
        ),
    ] = False,
    from_downloaded: Annotated[
        bool,
        typer.Option("--from-downloaded", help="Release what --download-only held back."),
    ] = False,
    tag: Annotated[
        str | None, typer.Option("--tag", help="Follow this tag of the same repository.")
    ] = None,
    progress_fd: ProgressFd = None,
) -> None:
    """Download the newest version of the followed image and stage it for the next boot."""
    options = UpgradeOptions(
        check=check,
        apply=apply,
        download_only=download_only,
        from_downloaded=from_downloaded,
        tag=tag,
        soft_reboot=soft_reboot,
    )
    check_options(options)
    from bootcpy.verbs.host import upgrade as verb

    with progress.opened(quiet=quiet, progress_fd=progress_fd) as sink:
        outcome = verb.upgrade(options, sink)
    _end(outcome)


def switch(
    target: Annotated[str, typer.Argument(help="The image to follow, without its transport.")],
    quiet: Quiet = False,
    apply: Apply = False,
    soft_reboot: Soft = None,
    transport: Annotated[
        str,
        typer.Option(
            "--transport",
            help="Where the image is: registry, oci, oci-archive, docker-archive, docker-daemon, "
            "containers-storage or dir.",
        ),
    ] = "registry",
    enforce_container_sigpolicy: Annotated[
        bool,
        typer.Option(
            "--enforce-container-sigpolicy",
            help="Require that policy.json demands a signature of the image.",
        ),
    ] = False,
    retain: Annotated[
        bool, typer.Option("--retain", help="Keep the ostree ref that the system followed before.")
    ] = False,
    no_signature_verification: Annotated[
        bool,
        typer.Option(
            "--no-signature-verification", hidden=True, help="The default; has no effect."
        ),
    ] = False,
    mutate_in_place: Annotated[
        bool,
        typer.Option(
            "--mutate-in-place",
            hidden=True,
            help="Only rewrite the newest deployment's origin; for installers.",
        ),
    ] = False,
    progress_fd: ProgressFd = None,
) -> None:
    """Follow another image, from the next boot on."""
    if enforce_container_sigpolicy and no_signature_verification:
        raise UsageError(
            "the argument '--enforce-container-sigpolicy' cannot be used with "
            "'--no-signature-verification'",
            hint="leave one of them out",
        )
    if "://" in target:
        raise UsageError(
            f"{target!r} names a transport", hint="remove it from the name, and use --transport"
        )
    reference = ImageReference.parse(f"{Transport.parse(transport).prefix}{target}")
    image = SignedImageReference(
        reference.seen_from(Path.cwd()),
        ContainerPolicy() if enforce_container_sigpolicy else Insecure(),
    )
    from bootcpy.verbs.host import switch as verb

    if mutate_in_place:
        _end(verb.switch_in_place(image))
        return
    with progress.opened(quiet=quiet, progress_fd=progress_fd) as sink:
        outcome = verb.switch(image, sink, apply=apply, soft_reboot=soft_reboot, retain=retain)
    _end(outcome)


def rollback(apply: Apply = False, soft_reboot: Soft = None) -> None:
    """Boot the previous deployment at the next boot; a second call undoes that.

    A staged update is discarded.
    """
    from bootcpy.verbs.host import rollback as verb

    with progress.opened() as sink:
        outcome = verb.rollback(sink, apply=apply, soft_reboot=soft_reboot)
    _end(outcome)


def edit(
    filename: Annotated[
        Path | None,
        typer.Option("--filename", "-f", help="Apply this document instead of starting $EDITOR."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Edit the spec of the host document that `status` prints, and apply the changes."""
    from bootcpy.verbs.host import edit as verb

    with progress.opened(quiet=quiet) as sink:
        outcome = verb.edit(sink, file=filename)
    _end(outcome)


def usr_overlay(
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Prepare the overlay, but mount it read-only.")
    ] = False,
) -> None:
    """Mount a writable overlay on /usr until the next boot."""
    from bootcpy.verbs.host import usr_overlay as verb

    verb.usr_overlay(read_only=read_only)


def _end(outcome: "Outcome") -> None:
    """Print the answer, then reboot if that was asked for."""
    for line in outcome.lines:
        print_line(line)
    if outcome.reboot:
        from bootcpy.verbs.host.change import reboot_now

        reboot_now()
