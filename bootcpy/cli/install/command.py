"""`bootc install`: words about putting an image onto a disk."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from bootcpy.cli import progress
from bootcpy.cli.output import print_json
from bootcpy.cli.typer_alone import typer
from bootcpy.errors import BootcpyError, UsageError
from bootcpy.model.base.size import parse_size
from bootcpy.model.boot.kargs import parse_kargs
from bootcpy.model.boot.loader import Bootloader
from bootcpy.model.image.reference import ImageReference, Transport
from bootcpy.model.install.layout import Filesystem
from bootcpy.model.install.settings import InstallRequest


class BlockSetup(StrEnum):
    """What may stand between a partition and its file system."""

    DIRECT = "direct"
    TPM2_LUKS = "tpm2-luks"


class BoundImages(StrEnum):
    """What to do with logically bound images."""

    STORED = "stored"
    SKIP = "skip"
    PULL = "pull"


def to_disk(
    device: Annotated[
        Path,
        typer.Argument(help="The disk; with --via-loopback, a disk file.", show_default=False),
    ],
    wipe: Annotated[
        bool,
        typer.Option("--wipe", help="Accept a disk that is not empty, and destroy all data on it."),
    ] = False,
    block_setup: Annotated[
        BlockSetup | None,
        typer.Option(help="What to put between the root partition and its file system."),
    ] = None,
    filesystem: Annotated[
        Filesystem | None,
        typer.Option(
            help="Type of the root file system; the image's configuration sets the default."
        ),
    ] = None,
    root_size: Annotated[
        str | None,
        typer.Option(
            help="Size of the root partition in MiB, or with M, G or T; default: the rest."
        ),
    ] = None,
    via_loopback: Annotated[
        bool,
        typer.Option("--via-loopback", help="DEVICE is a regular file to use as a disk."),
    ] = False,
    source_imgref: Annotated[
        str | None,
        typer.Option(
            help="Install this image, such as docker://quay.io/example/os:latest, "
            "instead of the one this container runs."
        ),
    ] = None,
    target_transport: Annotated[
        str, typer.Option(help="Transport of --target-imgref.")
    ] = "registry",
    target_imgref: Annotated[
        str | None,
        typer.Option(help="Name of the image that the installed system follows."),
    ] = None,
    enforce_container_sigpolicy: Annotated[
        bool,
        typer.Option(
            "--enforce-container-sigpolicy",
            help="Require that policy.json demands a signature for upgrades.",
        ),
    ] = False,
    run_fetch_check: Annotated[
        bool,
        typer.Option(
            "--run-fetch-check", help="Check first that the image to follow can be fetched."
        ),
    ] = False,
    skip_fetch_check: Annotated[
        bool,
        typer.Option("--skip-fetch-check", help="Accepted for compatibility; this is the default."),
    ] = False,
    disable_selinux: Annotated[
        bool,
        typer.Option("--disable-selinux", help="Boot with SELinux off."),
    ] = False,
    karg: Annotated[
        list[str] | None,
        typer.Option(help="Add one or more kernel arguments; can be repeated."),
    ] = None,
    karg_delete: Annotated[
        list[str] | None,
        typer.Option(help="Remove a kernel argument, key or key=value; can be repeated."),
    ] = None,
    root_ssh_authorized_keys: Annotated[
        Path | None,
        typer.Option(help="File with the SSH keys that may log in as root."),
    ] = None,
    generic_image: Annotated[
        bool,
        typer.Option(
            "--generic-image", help="Make a disk for any machine; add no firmware boot entry."
        ),
    ] = False,
    bound_images: Annotated[
        BoundImages,
        typer.Option(help="How to install logically bound images; only skip is supported yet."),
    ] = BoundImages.STORED,
    stateroot: Annotated[
        str | None, typer.Option(help="Name of the stateroot; the default is `default`.")
    ] = None,
    bootupd_skip_boot_uuid: Annotated[
        bool,
        typer.Option(
            "--bootupd-skip-boot-uuid", help="Accepted for images that use bootupd; without effect."
        ),
    ] = False,
    bootloader: Annotated[Bootloader | None, typer.Option(help="Boot loader to install.")] = None,
    composefs_backend: Annotated[
        bool, typer.Option("--composefs-backend", help="Not supported yet.")
    ] = False,
    allow_missing_verity: Annotated[
        bool, typer.Option("--allow-missing-verity", help="Needs --composefs-backend.")
    ] = False,
    uki_addon: Annotated[list[str] | None, typer.Option(help="Needs --composefs-backend.")] = None,
    seed: Annotated[
        str | None,
        typer.Option(
            help="Derive every UUID from this text and SOURCE_DATE_EPOCH, instead of at random."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan, and write nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the plan of --dry-run as JSON.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not show progress.")] = False,
    target_no_signature_verification: Annotated[
        bool,
        typer.Option(
            "--target-no-signature-verification", hidden=True, help="Accepted; this is the default."
        ),
    ] = False,
    experimental_unified_storage: Annotated[
        bool,
        typer.Option("--experimental-unified-storage", hidden=True, help="Not supported."),
    ] = False,
) -> None:
    """Install this container image onto a disk; the whole disk is used.

    Run it in the image itself: podman run --rm --privileged --pid=host -v /dev:/dev
    -v /var/lib/containers:/var/lib/containers IMAGE bootc install to-disk DEVICE
    """
    # What these ask for is the default, and bootupd is not used.
    del skip_fetch_check, target_no_signature_verification, bootupd_skip_boot_uuid
    _refuse_unsupported({
        "--composefs-backend": composefs_backend,
        "--allow-missing-verity": allow_missing_verity,
        "--uki-addon": bool(uki_addon),
        "--experimental-unified-storage": experimental_unified_storage,
        "--bound-images=pull": bound_images is BoundImages.PULL,
    })
    if as_json and not dry_run:
        raise UsageError("--json prints a plan and needs --dry-run", hint="add --dry-run")
    request = InstallRequest(
        device=device,
        via_loopback=via_loopback,
        wipe=wipe,
        block_setup=block_setup,
        filesystem=filesystem,
        root_size_bytes=None if root_size is None else parse_size(root_size),
        source=None if source_imgref is None else ImageReference.parse(source_imgref),
        target_transport=Transport.parse(target_transport),
        target_name=target_imgref,
        enforce_container_sigpolicy=enforce_container_sigpolicy,
        run_fetch_check=run_fetch_check,
        kargs=parse_kargs(karg or ()),
        karg_deletes=parse_kargs(karg_delete or (), option="--karg-delete"),
        root_ssh_authorized_keys=root_ssh_authorized_keys,
        generic_image=generic_image,
        stateroot=stateroot,
        bootloader=bootloader,
        skip_bound_images=bound_images is BoundImages.SKIP,
        disable_selinux=disable_selinux,
        seed=seed,
    )
    with progress.opened(quiet=quiet or as_json) as sink:
        from bootcpy.verbs.install import to_disk

        if not dry_run:
            to_disk.install_to_disk(request, progress=sink)
            return
        plan = to_disk.read_plan(request, progress=sink)
    if as_json:
        print_json(json.dumps(plan.to_json(), indent=2) + "\n")
    else:
        from bootcpy.cli.install.plan_text import render_plan

        print(render_plan(plan), end="")


def _refuse_unsupported(given: dict[str, bool]) -> None:
    for option, is_given in given.items():
        if is_given:
            raise BootcpyError(f"{option} is not supported yet", hint="leave it out")


def print_configuration(
    everything: Annotated[
        bool, typer.Option("--all", help="Print the kernel arguments too.")
    ] = False,
) -> None:
    """Print the merged install configuration as JSON."""
    from bootcpy.verbs.install import print_configuration as verb

    print_json(verb.read_config().to_json(with_kargs=everything))
