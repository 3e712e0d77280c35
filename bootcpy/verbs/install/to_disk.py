"""`install to-disk`: facts, refusals, plan; then disk to mounted tree to system.

The order of things is the promise: everything that can be refused is refused before
the first byte is written. What is mounted, then and before, is mounted in a private
namespace, so that no way of ending leaves it behind.
"""

import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bootcpy.errors import BootcpyError
from bootcpy.model.base.process_facts import require_root, require_self_install
from bootcpy.model.base.progress import Progress
from bootcpy.model.boot.bootable import require_bootable, require_bootable_tree
from bootcpy.model.boot.kargs import kargs_d, parse_kargs_d
from bootcpy.model.host.space import unpacked_size
from bootcpy.model.image.bound import bound_images
from bootcpy.model.image.reference import ImageReference
from bootcpy.model.install.plan import InstallPlan
from bootcpy.model.install.planning import SourceImage, plan_install
from bootcpy.model.install.settings import InstallRequest, InstallSurroundings, Settings, settle
from bootcpy.model.install.target import TargetState
from bootcpy.ostree.host import sysroot
from bootcpy.system.boot import boot_facts, bootloader
from bootcpy.system.files import mount
from bootcpy.system.files.directory_tree import DirectoryTree
from bootcpy.system.host import environment
from bootcpy.system.image import containers_storage, skopeo
from bootcpy.system.image.check import check_local_image
from bootcpy.system.image.containers_storage import OwnImage
from bootcpy.verbs.install.prepared_disk import prepared_disk, read_usable_disk
from bootcpy.verbs.install.print_configuration import read_config
from bootcpy.verbs.install.to_filesystem import populate

_OWN_ROOT = Path("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What the plan is made of, and the image to carry it out with."""

    settings: Settings
    target: TargetState
    source: SourceImage
    image: skopeo.OpenedImage


def install_to_disk(request: InstallRequest, *, progress: Progress) -> None:
    """Install the image onto the disk, and leave it ready to boot.

    Moves the process into a mount namespace of its own.

    Raises:
        BootcpyError: in many kinds; unless it is about writing, nothing was written.
    """
    wanted = _choose_image(request)
    mount.enter_private_namespace()
    with _facts_gathered(request, wanted, progress) as facts:
        plan = _checked_plan(facts, progress)
        _announce(plan, progress)
        with prepared_disk(plan, progress) as target:
            populate(target, plan.deploy, facts.image, progress)
    progress.note("Installation complete!")


def read_plan(request: InstallRequest, *, progress: Progress) -> InstallPlan:
    """Return what `install_to_disk` would do; writes nothing.

    Moves the process into a mount namespace of its own.

    Raises:
        BootcpyError: the request is refused.
    """
    wanted = _choose_image(request)
    mount.enter_private_namespace()
    with _facts_gathered(request, wanted, progress) as facts:
        return _checked_plan(facts, progress)


def _choose_image(request: InstallRequest) -> ImageReference | OwnImage:
    """Return the image to install: the one that was named, or this container's own.

    Raises:
        PrivilegeError: rights are missing.
        EnvironmentMismatchError: none was named, and this is no container that can install its own.
    """
    process = environment.read_process()
    if request.source is not None:
        require_root(process)
        return request.source
    container = require_self_install(process)
    return containers_storage.own_image(container.image, container.image_id)


@contextmanager
def _facts_gathered(
    request: InstallRequest, wanted: ImageReference | OwnImage, progress: Progress
) -> Generator[_Facts]:
    """Read everything that the plan depends on; the image stays open for as long.

    Raises:
        BootcpyError: what was found cannot be installed, or not here.
    """
    settings = _settle(request, progress)
    target = read_usable_disk(
        settings.device, via_loopback=settings.via_loopback, wipe=settings.wipe
    )
    own = wanted if isinstance(wanted, OwnImage) else None
    reference = wanted if isinstance(wanted, ImageReference) else wanted.reference
    name = own.name if own else str(reference)
    with _opened(reference, name, progress) as image:
        require_bootable(image.config, machine=settings.machine, name=name)
        source = _source_image(image, own, settings.machine)
        bootloader.require_bootloader(
            _OWN_ROOT if own else None, settings.bootloader, settings.machine
        )
        if own is None:  # it may be packed better than was assumed
            plan_install(settings, target, source)  # refuses what the manifest tells, at once
            unpacked_bytes = max(source.unpacked_bytes, check_local_image(image, progress))
            source = replace(source, unpacked_bytes=unpacked_bytes)
        yield _Facts(settings=settings, target=target, source=source, image=image)


def _settle(request: InstallRequest, progress: Progress) -> Settings:
    config = read_config()
    for warning in config.warnings:
        progress.note(f"warning: {warning}")
    surroundings = InstallSurroundings(
        machine=environment.machine(),
        source_date_epoch=os.environ.get("SOURCE_DATE_EPOCH"),
        direct_io=os.environ.get("BOOTC_DIRECT_IO") == "on",
        authorized_keys=_read_authorized_keys(request.root_ssh_authorized_keys),
    )
    return settle(request, config, surroundings)


def _read_authorized_keys(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise BootcpyError(
            f"cannot read the authorized keys {path}: {e}",
            hint="in a container, mount the file into it: podman run -v FILE:/keys:ro",
        ) from e


@contextmanager
def _opened(
    reference: ImageReference, name: str, progress: Progress
) -> Generator[skopeo.OpenedImage]:
    with ExitStack() as stack:
        with progress.step(f"Reading the image {name}"):
            image = stack.enter_context(skopeo.opened(reference))
        yield image


def _source_image(image: skopeo.OpenedImage, own: OwnImage | None, machine: str) -> SourceImage:
    """Return what the plan needs to know of the image.

    Raises:
        ImageContentError: it is our own, and this root shows that it does not boot.
        ConfigurationError: one of its kargs.d files is malformed.
    """
    source = SourceImage(
        reference=image.reference,
        name=image.reference.name,
        manifest_digest=image.manifest_digest,
        version=image.config.version,
        layers=len(image.manifest.layers),
        unpacked_bytes=unpacked_size(image.blobs),
        kargs=None,
    )
    return source if own is None else _with_content(source, own.name, machine)


def _with_content(source: SourceImage, name: str, machine: str) -> SourceImage:
    """Return `source`, which podman knows as `name` and whose root is ours, with what is in it."""
    tree = DirectoryTree(_OWN_ROOT)
    facts = boot_facts.read(tree)
    require_bootable_tree(facts, composefs_supported=sysroot.supports_composefs())
    named = ImageReference(source.reference.transport, name.partition("@")[0])
    return replace(
        source,
        reference=named.with_digest(source.manifest_digest),
        name=name,
        kargs=parse_kargs_d(kargs_d(tree), machine),
        bound_images=bound_images(tree),
    )


def _checked_plan(facts: _Facts, progress: Progress) -> InstallPlan:
    """Return the plan; what it says is followed can be fetched, if that is to be checked.

    Raises:
        BootcpyError: the request is refused.
    """
    plan = plan_install(facts.settings, facts.target, facts.source)
    if facts.settings.run_fetch_check:
        follows = plan.deploy.follows
        with (
            progress.step(f"Checking that {follows.image} can be fetched"),
            skopeo.opened(follows.image, signature=follows.signature),
        ):
            pass
    return plan


def _announce(plan: InstallPlan, progress: Progress) -> None:
    if plan.disk.via_loopback:
        progress.note("warning: a disk file is made as a generic image (--generic-image)")
    progress.note(f"Installing image: {plan.deploy.source}")
    progress.note(f"Digest: {plan.deploy.manifest_digest}")
