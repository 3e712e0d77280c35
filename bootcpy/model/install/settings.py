"""What an installation is to do as far as neither disk nor image decide: `settle()`, pure.

What is refused here is refused before anything is looked at.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from bootcpy.errors import BootcpyError, ConfigurationError
from bootcpy.model.base.listing import shown_few
from bootcpy.model.boot.kargs import KernelArguments, parse_kargs
from bootcpy.model.boot.loader import Bootloader
from bootcpy.model.image.reference import (
    ContainerPolicy,
    ImageReference,
    Insecure,
    Signature,
    SignedImageReference,
    Transport,
)
from bootcpy.model.install.config import InstallConfig
from bootcpy.model.install.layout import Filesystem

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
    kargs: tuple[str, ...] = ()  # each one parameter
    karg_deletes: tuple[str, ...] = ()
    root_ssh_authorized_keys: Path | None = None
    generic_image: bool = False
    stateroot: str | None = None
    bootloader: Bootloader | None = None
    skip_bound_images: bool = False
    disable_selinux: bool = False
    seed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallSurroundings:
    """What the command finds around it, whatever it is asked for."""

    machine: str  # as `uname -m` prints it
    source_date_epoch: str | None = None  # the variable's text
    direct_io: bool = False  # for loop devices on a disk file
    authorized_keys: str | None = None  # text of the file that the request names


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every choice of an installation that needs neither the disk nor the image."""

    device: Path
    via_loopback: bool
    wipe: bool
    filesystem: Filesystem
    root_size_bytes: int | None  # None: all there is
    direct_io: bool
    seed: str | None
    source_date_epoch: int | None
    machine: str  # as `uname -m` prints it
    follows: SignedImageReference | None  # None: the image by its own name, with the next two
    follows_transport: Transport
    follows_signature: Signature
    run_fetch_check: bool
    stateroot: str
    kargs: KernelArguments  # but for what names the root
    bootloader: Bootloader
    generic_image: bool
    skip_bound_images: bool
    bls_append_except_default: str | None
    root_ssh_authorized_keys: str | None


def settle(
    request: InstallRequest, config: InstallConfig, surroundings: InstallSurroundings
) -> Settings:
    """Return what the request, or else the configuration, or else bootc's defaults choose.

    Raises:
        ConfigurationError: the configuration does not allow the request.
        BootcpyError: the request asks for what does not exist.
    """
    filesystem = _choose_filesystem(request, config)
    _require_block_setup(request, config)
    enforce = request.enforce_container_sigpolicy or bool(config.enforce_container_sigpolicy)
    signature = ContainerPolicy() if enforce else Insecure()
    return Settings(
        device=request.device,
        via_loopback=request.via_loopback,
        wipe=request.wipe,
        filesystem=filesystem,
        root_size_bytes=request.root_size_bytes,
        direct_io=surroundings.direct_io,
        seed=request.seed,
        source_date_epoch=_parse_epoch(surroundings.source_date_epoch),
        machine=surroundings.machine,
        follows=followed_reference(request.target_transport, request.target_name, signature)
        if request.target_name
        else None,
        follows_transport=request.target_transport,
        follows_signature=signature,
        run_fetch_check=request.run_fetch_check,
        stateroot=_choose_stateroot(request, config),
        kargs=KernelArguments(
            root=("selinux=0",) if request.disable_selinux else (),
            config=parse_kargs(config.kargs or (), option="install.kargs"),
            config_delete=config.karg_deletes or (),
            command_line=request.kargs,
            command_line_delete=request.karg_deletes,
        ),
        bootloader=request.bootloader or config.bootloader or Bootloader.GRUB,
        generic_image=request.generic_image or request.via_loopback,
        skip_bound_images=request.skip_bound_images,
        bls_append_except_default=config.bls_append_except_default,
        root_ssh_authorized_keys=surroundings.authorized_keys,
    )


def followed_reference(
    transport: Transport, name: str, signature: Signature
) -> SignedImageReference:
    """Return what the installed system will take its upgrades from.

    Raises:
        BootcpyError: nothing could ever be fetched by that name.
    """
    if not name.isprintable() or (transport is Transport.REGISTRY and " " in name):
        raise BootcpyError(
            f"the installed system cannot follow {name!r}: it is not the name of an image",
            hint="choose another image with --target-imgref",
        )
    if transport is Transport.REGISTRY and "://" in name:
        raise BootcpyError(
            f"--target-imgref {name} names a transport",
            hint=f"write it as {name.partition('://')[2]}; --target-transport is for the transport",
        )
    return SignedImageReference(ImageReference(transport, name), signature)


def _choose_filesystem(request: InstallRequest, config: InstallConfig) -> Filesystem:
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


def _require_block_setup(request: InstallRequest, config: InstallConfig) -> None:
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


def _choose_stateroot(request: InstallRequest, config: InstallConfig) -> str:
    stateroot = request.stateroot or config.stateroot or "default"
    if not _STATEROOT.fullmatch(stateroot) or stateroot in {".", ".."}:
        raise BootcpyError(
            f"{stateroot!r} cannot be a stateroot: it names a directory and is used in "
            "the kernel command line",
            hint="use letters, digits, `.`, `-` and `_`",
        )
    return stateroot


def _parse_epoch(text: str | None) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise BootcpyError(
            f"SOURCE_DATE_EPOCH is {text!r}, not a number of seconds", hint="unset it"
        )
    return int(text)
