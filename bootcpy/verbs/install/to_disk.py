"""`install to-disk`: facts, refusals, plan; then disk to mounted tree, and the next file.

The order of things is the promise: everything that can be refused is refused before
the first byte is written, and everything after that happens inside one stack of
contexts in a private mount namespace, so that no way of ending leaves a mount or a
loop device behind.
"""

import os
import re
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from bootcpy import paths
from bootcpy.errors import BootcpyError, TargetError
from bootcpy.model.base.io_errors import explain_write_failure
from bootcpy.model.base.process_facts import require_root, require_self_install
from bootcpy.model.base.progress import Progress
from bootcpy.model.boot.bootable import require_bootable, require_bootable_tree
from bootcpy.model.boot.kargs import kargs_d, parse_kargs_d
from bootcpy.model.host.space import unpacked_size
from bootcpy.model.image.bound import bound_images
from bootcpy.model.image.reference import ImageReference
from bootcpy.model.install.config import InstallConfig
from bootcpy.model.install.layout import DiskLayout, Role
from bootcpy.model.install.plan import InstallPlan
from bootcpy.model.install.planning import (
    InstallRequest,
    SourceImage,
    choose_filesystem,
    followed_reference,
    plan_install,
    require_block_setup,
)
from bootcpy.model.install.target import TargetState, require_usable
from bootcpy.model.install.target_tree import BiosBoot, TargetTree
from bootcpy.ostree.host import sysroot
from bootcpy.system.boot import boot_facts, bootloader
from bootcpy.system.disk import block, filesystem, gpt, loop
from bootcpy.system.disk.state import read_disk_state
from bootcpy.system.disk.wipe import clear_edges, wipe
from bootcpy.system.files import mount
from bootcpy.system.files.directory_tree import DirectoryTree
from bootcpy.system.host import environment
from bootcpy.system.image import containers_storage, skopeo
from bootcpy.system.image.check import check_local_image
from bootcpy.verbs.install import to_filesystem
from bootcpy.verbs.install.print_configuration import read_config

_OWN_ROOT = Path("/")
_NODES = paths.RUN / "nodes"


def install_to_disk(request: InstallRequest, *, progress: Progress) -> None:
    """Install the image onto the disk, and leave it ready to boot.

    Raises:
        BootcpyError: in many kinds; unless it is about writing, nothing was written.
    """
    with planned(request, progress=progress) as (plan, image):
        _execute(plan, image, progress)


@contextmanager
def planned(
    request: InstallRequest, *, progress: Progress
) -> Generator[tuple[InstallPlan, skopeo.OpenedImage]]:
    """Return what `install_to_disk` would do and the image it would do it with.

    Reads, and refuses what cannot be done; writes nothing. Moves the process into a
    mount namespace of its own.

    Raises:
        BootcpyError: the request is refused.
    """
    process = environment.read_process()
    container = require_self_install(process) if request.source is None else None
    require_root(process)
    machine = environment.machine()
    config = read_config()
    for warning in config.warnings:
        progress.note(f"warning: {warning}")
    choose_filesystem(request, config)
    require_block_setup(request, config)
    keys = _read_authorized_keys(request.root_ssh_authorized_keys)
    state = _read_target(request.device, via_loopback=request.via_loopback)
    mount.enter_private_namespace()
    own = containers_storage.own_image(container.image, container.image_id) if container else None
    reference = own.reference if own else request.source
    assert reference is not None  # noqa: S101 - one of the two, which mypy cannot see
    with progress.step(f"Reading the image {own.name if own else reference}"):
        stack = ExitStack()
        image = stack.enter_context(skopeo.opened(reference))
    with stack:
        require_bootable(image.config, machine=machine, name=own.name if own else str(reference))
        source = _source_image(image, own, machine)
        plan_for = partial(
            plan_install,
            request,
            config=config,
            state=state,
            machine=machine,
            authorized_keys=keys,
            source_date_epoch=_source_date_epoch(),
        )
        plan = plan_for(image=source)
        bootloader.require_bootloader(_OWN_ROOT if own else None, plan.deploy.bootloader, machine)
        if own is None:
            unpacked_bytes = check_local_image(image, progress)
            if unpacked_bytes > source.unpacked_bytes:  # it is packed better than we assumed
                plan = plan_for(image=replace(source, unpacked_bytes=unpacked_bytes))
        if request.run_fetch_check:
            _require_fetchable(request, config, source, progress)
        yield plan, image


def _read_target(path: Path, *, via_loopback: bool) -> TargetState:
    return block.read_disk_file(path) if via_loopback else block.read_disk(path)


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


def _source_date_epoch() -> int | None:
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise BootcpyError(
            f"SOURCE_DATE_EPOCH is {text!r}, not a number of seconds", hint="unset it"
        )
    return int(text)


def _source_image(
    image: skopeo.OpenedImage, own: containers_storage.OwnImage | None, machine: str
) -> SourceImage:
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
    return source if own is None else _looked_into(source, own.name, machine)


def _looked_into(source: SourceImage, name: str, machine: str) -> SourceImage:
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


def _require_fetchable(
    request: InstallRequest, config: InstallConfig, source: SourceImage, progress: Progress
) -> None:
    follows = followed_reference(request, config, source)
    with (
        progress.step(f"Checking that {follows.image} can be fetched"),
        skopeo.opened(follows.image, signature=follows.signature),
    ):
        pass


def _execute(plan: InstallPlan, image: skopeo.OpenedImage, progress: Progress) -> None:
    disk = Path(plan.disk.path)
    if plan.disk.via_loopback:
        progress.note("warning: a disk file is made as a generic image (--generic-image)")
    progress.note(f"Installing image: {plan.deploy.source}")
    progress.note(f"Digest: {plan.deploy.manifest_digest}")
    with ExitStack() as stack:
        # Device nodes that /dev lacks, and the mount point, vanish with the namespace.
        stack.enter_context(mount.mounted("tmpfs", paths.RUN, filesystem="tmpfs"))
        _NODES.mkdir(mode=0o700)
        stack.enter_context(_write_errors_explained(disk, plan.disk.size_bytes))
        stack.enter_context(block.locked(disk))
        _require_unchanged(plan)
        with progress.step(f"Partitioning {disk}"):
            _write_table(disk, plan)
        _fill(disk, plan, image, progress)
        gpt.rename(disk, plan.layout.root.number, plan.layout.root.name)
    progress.note("Installation complete!")


def _require_unchanged(plan: InstallPlan) -> None:
    """Refuse a disk that is not what it was when the plan was made, minutes ago perhaps.

    Called with the disk locked; whoever else installs onto it waits for us, or we waited.
    """
    state = _read_target(Path(plan.disk.path), via_loopback=plan.disk.via_loopback)
    require_usable(state, wipe=plan.wipe)
    known, found = (
        (disk.identity, disk.size_bytes, disk.contents) for disk in (plan.disk, state.disk)
    )
    if known != found:
        raise TargetError(
            f"{plan.disk.path} has changed since it was looked at; nothing was written to it",
            hint="see what else uses it, then run the command again",
        )


@contextmanager
def _write_errors_explained(disk: Path, size_bytes: int) -> Generator[None]:
    """Say what is the matter with the disk where that is why something failed.

    Raises:
        BootcpyError: in place of what was raised.
    """
    try:
        yield
    except (BootcpyError, OSError) as e:
        explained = explain_write_failure(read_disk_state(disk, size_bytes), e)
        if explained is None or explained is e:
            raise
        raise explained from e


def _fill(disk: Path, plan: InstallPlan, image: skopeo.OpenedImage, progress: Progress) -> None:
    """Make the file systems of a partitioned disk, fill them and bring them to rest."""
    with ExitStack() as stack:
        devices = _partition_devices(disk, plan, stack)
        with progress.step(f"Making file systems: FAT32 and {plan.filesystem}"):
            _make_filesystems(devices, plan)
        target = _target_tree(disk, devices, plan.layout)
        stack.enter_context(
            mount.mounted(devices[Role.ROOT], target.root, filesystem=plan.filesystem.value)
        )
        target.root.chmod(0o755)
        to_filesystem.populate(target, plan.deploy, image, progress)
        (target.root / "boot/efi").mkdir(exist_ok=True)  # where the ESP may be mounted later
        with progress.step("Finishing: trimming and writing out"):
            filesystem.finish(target.root)
            stack.close()


def _write_table(disk: Path, plan: InstallPlan) -> None:
    if plan.disk.contents:
        wipe(disk, plan.disk.size_bytes)
    gpt.write(disk, plan.layout.unfinished())
    clear_edges(disk, [(p.start_bytes, p.end_bytes) for p in plan.layout.partitions])


def _partition_devices(disk: Path, plan: InstallPlan, stack: ExitStack) -> dict[Role, Path]:
    """Return a block device for each partition: the kernel's node, or a loop device."""
    partitions = plan.layout.partitions
    found = (
        None if plan.disk.via_loopback else block.partition_nodes(disk, plan.layout, nodes=_NODES)
    )
    if found is not None:
        return {p.role: found[p.number] for p in partitions}
    return {
        p.role: stack.enter_context(
            loop.attached(
                disk,
                nodes=_NODES,
                offset_bytes=p.start_bytes,
                size_bytes=p.size_bytes,
                sector_bytes=plan.disk.sector_bytes,
                direct_io=os.environ.get("BOOTC_DIRECT_IO") == "on",
            )
        )
        for p in partitions
        if p.filesystem is not None
    }


def _make_filesystems(devices: dict[Role, Path], plan: InstallPlan) -> None:
    esp = plan.layout.find(Role.ESP)
    if esp is not None:
        filesystem.make_esp(devices[Role.ESP], esp, sector_bytes=plan.disk.sector_bytes)
    filesystem.make_root(devices[Role.ROOT], plan.layout.root, reproducible=plan.seed is not None)


def _target_tree(disk: Path, devices: dict[Role, Path], layout: DiskLayout) -> TargetTree:
    esp = layout.find(Role.ESP)
    bios = layout.find(Role.BIOS_BOOT)
    return TargetTree(
        root=paths.INSTALL_ROOT,
        root_uuid=str(layout.root.filesystem_id),
        disk=disk,
        esp=devices.get(Role.ESP),
        esp_uuid=str(esp.uuid) if esp else None,
        esp_number=esp.number if esp else None,
        bios_boot=BiosBoot(
            disk=disk,
            start_bytes=bios.start_bytes,
            size_bytes=bios.size_bytes,
            sector_bytes=layout.sector_bytes,
        )
        if bios
        else None,
    )
