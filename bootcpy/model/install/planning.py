"""From the settings and what was found out to the plan of `install to-disk`: pure.

The refusals here, in `model.install.settings` and in `model.install.target` all come before the
first byte is written.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bootcpy.errors import BootcpyError, TargetError
from bootcpy.model.base.listing import shown_few
from bootcpy.model.base.size import format_size
from bootcpy.model.boot.kargs import merge_for_install, root_kargs
from bootcpy.model.image.reference import ImageReference
from bootcpy.model.install.layout import (
    DiskLayout,
    RootNeeds,
    plan_layout,
    random_identity,
    seeded_identity,
)
from bootcpy.model.install.plan import DeployPlan, InstallPlan
from bootcpy.model.install.settings import Settings, followed_reference
from bootcpy.model.install.target import TargetState


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceImage:
    """The image to install, as far as its manifest and configuration tell."""

    reference: ImageReference  # pinned to the digest where the transport allows it
    name: str  # what it is known as, and followed as unless another name is given
    manifest_digest: str
    version: str | None
    layers: int
    unpacked_bytes: int  # estimated where only compressed sizes are known
    kargs: tuple[str, ...] | None  # its kargs.d; None if not known before the import
    bound_images: tuple[str, ...] = ()  # names below bound-images.d


def plan_install(settings: Settings, target: TargetState, image: SourceImage) -> InstallPlan:
    """Return everything `install to-disk` is going to do with a usable disk.

    Raises:
        TargetError: the disk, or the file system below a disk file, is too small.
        BootcpyError: the image binds others, or has a name that nobody could follow.
    """
    require_no_bound_images(image.bound_images, skip=settings.skip_bound_images)
    needs = RootNeeds(image_bytes=image.unpacked_bytes)
    identify = (
        random_identity
        if settings.seed is None
        else seeded_identity(settings.seed, settings.source_date_epoch)
    )
    layout = plan_layout(
        target.disk,
        machine=settings.machine,
        filesystem=settings.filesystem,
        root_size_bytes=settings.root_size_bytes,
        needs=needs,
        identify=identify,
    )
    _require_host_space(target, layout.root.size_bytes, needs)
    deploy = _plan_deploy(settings, layout, image)
    return InstallPlan(
        disk=target.disk,
        layout=layout,
        filesystem=settings.filesystem,
        wipe=settings.wipe,
        direct_io=settings.direct_io,
        kargs=merge_for_install(deploy.kargs, image.kargs or ()),
        deploy=deploy,
        image_version=image.version,
        image_layers=image.layers,
        image_bytes=image.unpacked_bytes,
        seed=settings.seed,
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


def _plan_deploy(settings: Settings, layout: DiskLayout, image: SourceImage) -> DeployPlan:
    root = root_kargs(str(layout.root.filesystem_id))
    return DeployPlan(
        source=image.reference,
        follows=settings.follows
        or followed_reference(settings.follows_transport, image.name, settings.follows_signature),
        manifest_digest=image.manifest_digest,
        machine=settings.machine,
        stateroot=settings.stateroot,
        kargs=replace(settings.kargs, root=(*root, *settings.kargs.root)),
        bootloader=settings.bootloader,
        generic_image=settings.generic_image,
        skip_bound_images=settings.skip_bound_images,
        bls_append_except_default=settings.bls_append_except_default,
        root_ssh_authorized_keys=settings.root_ssh_authorized_keys,
        source_date_epoch=settings.source_date_epoch,
    )


def _require_host_space(target: TargetState, root_bytes: int, needs: RootNeeds) -> None:
    """Refuse a sparse disk file that the file system under it could not fill as far as needed."""
    if target.available_bytes is None:
        return
    wanted = min(root_bytes, needs.size_bytes)
    if target.available_bytes < wanted:
        raise TargetError(
            f"the file system that holds {target.disk.path} has too little free space: "
            f"{format_size(target.available_bytes)} are available, "
            f"{format_size(wanted)} are needed ({needs.explain()})",
            hint="free some space there, or put the disk file elsewhere",
        )
