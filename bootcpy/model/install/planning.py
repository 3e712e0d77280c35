"""From what the user asked and what was found to the plan of `install to-disk`: pure.

The refusals here and in `model.target` all come before the first byte is written.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from bootcpy.errors import BootcpyError, ConfigurationError, TargetError
from bootcpy.model.base.listing import shown_few
from bootcpy.model.base.size import format_size
from bootcpy.model.boot.kargs import KernelArguments, merge_for_install, parse_kargs, root_kargs
from bootcpy.model.boot.loader import Bootloader
from bootcpy.model.image.reference import (
    ContainerPolicy,
    ImageReference,
    Insecure,
    SignedImageReference,
    Transport,
)
from bootcpy.model.install.config import InstallConfig
from bootcpy.model.install.layout import (
    Filesystem,
    RootNeeds,
    plan_layout,
    random_identity,
    seeded_identity,
)
from bootcpy.model.install.plan import DeployPlan, InstallPlan
from bootcpy.model.install.target import TargetState, require_usable

_STATEROOT = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallRequest:
    """What the command line of `install to-disk` says; None is what it leaves open."""

    device: Path
    via_loopback: bool = False
    wipe: bool = False
    block_setup: str | None = None
    filesystem: Filesystem | None = None
    root_size_bytes: int | None = None
    source: ImageReference | None = None
    target_transport: Transport = Transport.REGISTRY
    target_name: str | None = None
    enforce_container_sigpolicy: bool = False
    run_fetch_check: bool = False
    kargs: tuple[str, ...] = ()
    karg_deletes: tuple[str, ...] = ()
    root_ssh_authorized_keys: Path | None = None
    generic_image: bool = False
    stateroot: str | None = None
    bootloader: Bootloader | None = None
    skip_bound_images: bool = False
    disable_selinux: bool = False
    seed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceImage:
    """The image to install, as far as its manifest and configuration tell."""

    reference: ImageReference  # pinned to the digest where the transport allows it
    name: str  # what it is known as, and followed as unless another name is given
    manifest_digest: str
    version: str | None
    layers: int
    unpacked_bytes: int
    kargs: tuple[str, ...] | None  # its kargs.d; None if not known before the import
    bound_images: tuple[str, ...] = ()  # names below bound-images.d


def plan_install(
    request: InstallRequest,
    *,
    config: InstallConfig,
    state: TargetState,
    image: SourceImage,
    machine: str,
    authorized_keys: str | None,
    source_date_epoch: int | None,
) -> InstallPlan:
    """Return everything `install to-disk` is going to do.

    Raises:
        TargetError: the disk is unsuitable, in use, not empty or too small.
        ConfigurationError: the configuration does not allow the request.
        BootcpyError: the request asks for what does not exist.
    """
    require_usable(state, wipe=request.wipe)
    filesystem = choose_filesystem(request, config)
    require_block_setup(request, config)
    require_no_bound_images(image.bound_images, skip=request.skip_bound_images)
    identify = (
        random_identity
        if request.seed is None
        else seeded_identity(request.seed, source_date_epoch)
    )
    layout = plan_layout(
        state.disk,
        machine=machine,
        filesystem=filesystem,
        root_size_bytes=request.root_size_bytes,
        needs=RootNeeds(image_bytes=image.unpacked_bytes),
        identify=identify,
    )
    _require_host_room(state, layout.root.size_bytes, RootNeeds(image_bytes=image.unpacked_bytes))
    deploy = _plan_deploy(request, config, image, machine, str(layout.root.filesystem_id))
    return InstallPlan(
        disk=state.disk,
        layout=layout,
        filesystem=filesystem,
        wipe=request.wipe,
        kargs=merge_for_install(deploy.kargs, image.kargs or ()),
        deploy=replace(
            deploy,
            root_ssh_authorized_keys=authorized_keys,
            source_date_epoch=source_date_epoch,
            generic_image=request.generic_image or state.disk.via_loopback,
        ),
        image_version=image.version,
        image_layers=image.layers,
        image_bytes=image.unpacked_bytes,
        seed=request.seed,
    )


def require_no_bound_images(names: Iterable[str], *, skip: bool) -> None:
    """Refuse an image with the bound images `names`, unless it is to be installed without them.

    Raises:
        BootcpyError: there are some, which cannot be installed yet.
    """
    listed = shown_few(sorted(names))
    if listed and not skip:
        raise BootcpyError(
            f"the image binds other images ({listed}), which cannot be installed with it yet",
            hint="add --bound-images=skip to install without them",
        )


def choose_filesystem(request: InstallRequest, config: InstallConfig) -> Filesystem:
    """Return the root file system's kind: the request's, else the configuration's.

    Raises:
        ConfigurationError: neither names one.
    """
    filesystem = request.filesystem or config.filesystem
    if filesystem is None:
        found = "the install configuration" if config.found else "no install configuration found"
        raise ConfigurationError(
            f"no root file system type: {found} sets none, and --filesystem is not given",
            hint=f"add --filesystem with one of: {', '.join(Filesystem)}",
        )
    return filesystem


def require_block_setup(request: InstallRequest, config: InstallConfig) -> None:
    """Refuse a block setup that the configuration does not offer, or that we cannot do.

    Raises:
        ConfigurationError: the configuration does not list it.
        BootcpyError: it is tpm2-luks.
    """
    enabled = config.block or ("direct",)
    setup = request.block_setup or enabled[0]
    if setup not in enabled:
        raise ConfigurationError(
            f"block setup {setup} is not enabled in the install configuration",
            hint=f"enabled there: {shown_few(enabled)}",
        )
    if setup != "direct":
        raise BootcpyError(
            f"block setup {setup} is not supported yet",
            hint="use --block-setup direct",
        )


def followed_reference(
    request: InstallRequest, config: InstallConfig, image: SourceImage
) -> SignedImageReference:
    """Return what the installed system will follow: `--target-imgref` or the image's name.

    Raises:
        BootcpyError: nothing could ever be fetched by that name.
    """
    name = request.target_name or image.name
    if not name.isprintable() or (request.target_transport is Transport.REGISTRY and " " in name):
        raise BootcpyError(
            f"the installed system cannot follow {name!r}: it is no name of an image",
            hint="give another with --target-imgref",
        )
    if request.target_transport is Transport.REGISTRY and "://" in name:
        raise BootcpyError(
            f"--target-imgref {name} names a transport",
            hint=f"write it as {name.partition('://')[2]}; --target-transport is for the transport",
        )
    enforce = request.enforce_container_sigpolicy or bool(config.enforce_container_sigpolicy)
    return SignedImageReference(
        ImageReference(request.target_transport, name),
        ContainerPolicy() if enforce else Insecure(),
    )


def _plan_deploy(
    request: InstallRequest,
    config: InstallConfig,
    image: SourceImage,
    machine: str,
    root_uuid: str,
) -> DeployPlan:
    stateroot = request.stateroot or config.stateroot or "default"
    if not _STATEROOT.fullmatch(stateroot) or stateroot in {".", ".."}:
        raise BootcpyError(
            f"{stateroot!r} cannot be a stateroot: it is a directory's name and stands in "
            "the kernel command line",
            hint="use letters, digits, `.`, `-` and `_`",
        )
    selinux = ("selinux=0",) if request.disable_selinux else ()
    return DeployPlan(
        source=image.reference,
        follows=followed_reference(request, config, image),
        manifest_digest=image.manifest_digest,
        machine=machine,
        stateroot=stateroot,
        kargs=KernelArguments(
            root=(*root_kargs(root_uuid), *selinux),
            config=parse_kargs(config.kargs or (), option="install.kargs"),
            config_delete=config.karg_deletes or (),
            command_line=parse_kargs(request.kargs),
            command_line_delete=parse_kargs(request.karg_deletes, option="--karg-delete"),
        ),
        bootloader=request.bootloader or config.bootloader or Bootloader.GRUB,
        skip_bound_images=request.skip_bound_images,
        bls_append_except_default=config.bls_append_except_default,
    )


def _require_host_room(state: TargetState, root_bytes: int, needs: RootNeeds) -> None:
    """Refuse a sparse disk file that the file system under it could not fill as far as needed."""
    if state.available_bytes is None:
        return
    wanted = min(root_bytes, needs.size_bytes)
    if state.available_bytes < wanted:
        raise TargetError(
            f"the file system that holds {state.disk.path} has too little room: "
            f"{format_size(state.available_bytes)} are available, "
            f"{format_size(wanted)} are needed ({needs.explain()})",
            hint="free some space there, or put the disk file elsewhere",
        )
