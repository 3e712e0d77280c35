"""A disk to install to: looked at, and then made into a mounted tree.

Everything that is written to it is written inside one context, so that no way of ending
leaves a mount or a loop device behind.
"""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bootcpy import paths
from bootcpy.errors import BootcpyError, TargetError
from bootcpy.model.base.io_errors import explain_write_failure
from bootcpy.model.base.progress import Progress
from bootcpy.model.install.layout import DiskLayout, PartitionRole
from bootcpy.model.install.plan import InstallPlan
from bootcpy.model.install.target import TargetState, require_usable
from bootcpy.model.install.target_tree import BiosBoot, TargetTree
from bootcpy.system.disk import block, device_lock, filesystem, gpt, loop
from bootcpy.system.disk.partitions import partition_nodes
from bootcpy.system.disk.state import read_disk_state
from bootcpy.system.disk.wipe import clear_edges, wipe
from bootcpy.system.files import mount

_NODES = paths.RUN / "nodes"


def read_usable_disk(path: Path, *, via_loopback: bool, wipe: bool) -> TargetState:
    """Return what is known about a disk, or disk file, that may be installed to.

    Raises:
        TargetError: it is no disk, is in use, or holds something and may not be wiped.
    """
    state = block.read_disk_file(path) if via_loopback else block.read_disk(path)
    require_usable(state, wipe=wipe)
    return state


@contextmanager
def prepared_disk(plan: InstallPlan, progress: Progress) -> Generator[TargetTree]:
    """Partition the disk, make its file systems, and give the mounted, empty root to be filled.

    At the end all is written out and unmounted, and the disk is marked as complete; after an
    error it is left as one with an unfinished installation. To be called in a private mount
    namespace.

    Raises:
        TargetError: the disk is not what it was when the plan was made; nothing was written.
        BootcpyError: writing to it failed, here or by whoever fills it.
    """
    disk = Path(plan.disk.path)
    with (
        # Device nodes that /dev lacks, and the mount point, vanish with the namespace.
        mount.mounted("tmpfs", paths.RUN, filesystem="tmpfs"),
        _write_errors_explained(disk, plan.disk.size_bytes),
        device_lock.locked(disk),
    ):
        _NODES.mkdir(mode=0o700)
        _require_unchanged(plan)
        with progress.step(f"Partitioning {disk}"):
            _write_table(disk, plan)
        with _mounted_root(disk, plan, progress) as target:
            yield target
        gpt.rename(disk, plan.layout.root.number, plan.layout.root.name)


def _require_unchanged(plan: InstallPlan) -> None:
    """Refuse a disk that is not what it was when the plan was made, minutes ago perhaps.

    Called with the disk locked; whoever else installs onto it waits for us, or we waited.
    """
    state = read_usable_disk(
        Path(plan.disk.path), via_loopback=plan.disk.via_loopback, wipe=plan.wipe
    )
    known, found = (
        (disk.identity, disk.size_bytes, disk.contents) for disk in (plan.disk, state.disk)
    )
    if known != found:
        raise TargetError(
            f"{plan.disk.path} has changed since it was checked; nothing was written to it",
            hint="find the program that uses it, then run the command again",
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


@contextmanager
def _mounted_root(disk: Path, plan: InstallPlan, progress: Progress) -> Generator[TargetTree]:
    """Make the file systems of a partitioned disk, mount the root, and bring it to rest."""
    with ExitStack() as stack:
        devices = _partition_devices(disk, plan, stack)
        with progress.step(f"Making file systems: FAT32 and {plan.filesystem}"):
            _make_filesystems(devices, plan)
        target = _target_tree(disk, devices, plan.layout)
        stack.enter_context(
            mount.mounted(
                devices[PartitionRole.ROOT], target.root, filesystem=plan.filesystem.value
            )
        )
        target.root.chmod(0o755)
        yield target
        (target.root / "boot/efi").mkdir(exist_ok=True)  # where the ESP may be mounted later
        with progress.step("Finishing: trimming and writing out"):
            filesystem.finish(target.root)
            stack.close()


def _write_table(disk: Path, plan: InstallPlan) -> None:
    if plan.disk.contents:
        wipe(disk, plan.disk.size_bytes)
    gpt.write(disk, plan.layout.unfinished())
    clear_edges(disk, [(p.start_bytes, p.end_bytes) for p in plan.layout.partitions])


def _partition_devices(
    disk: Path, plan: InstallPlan, stack: ExitStack
) -> dict[PartitionRole, Path]:
    """Return a block device for each partition: the kernel's node, or a loop device."""
    partitions = plan.layout.partitions
    found = None if plan.disk.via_loopback else partition_nodes(disk, plan.layout, nodes=_NODES)
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
                direct_io=plan.direct_io,
            )
        )
        for p in partitions
        if p.filesystem is not None
    }


def _make_filesystems(devices: dict[PartitionRole, Path], plan: InstallPlan) -> None:
    esp = plan.layout.find(PartitionRole.ESP)
    if esp is not None:
        filesystem.make_esp(devices[PartitionRole.ESP], esp, sector_bytes=plan.disk.sector_bytes)
    filesystem.make_root(
        devices[PartitionRole.ROOT], plan.layout.root, reproducible=plan.seed is not None
    )


def _target_tree(disk: Path, devices: dict[PartitionRole, Path], layout: DiskLayout) -> TargetTree:
    esp = layout.find(PartitionRole.ESP)
    bios = layout.find(PartitionRole.BIOS_BOOT)
    return TargetTree(
        root=paths.INSTALL_ROOT,
        root_uuid=str(layout.root.filesystem_id),
        disk=disk,
        esp=devices.get(PartitionRole.ESP),
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
