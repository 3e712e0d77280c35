"""Partition tables: the only importer of pyparted.

libparted aligns, names and types partitions and writes both copies of the table and
the protective MBR; what it cannot set (the disk's and the partitions' own GUIDs,
attribute bits) sfdisk sets afterwards. Works on block devices and on plain files.
"""

import logging
from pathlib import Path

from bootcpy.errors import TargetError, ToolFailedError
from bootcpy.model.install.layout import DiskLayout, Partition
from bootcpy.model.install.partition_table import FoundPartition, FoundTable, parse_table
from bootcpy.system.process.run import run

log = logging.getLogger(__name__)


def write(disk: Path, layout: DiskLayout) -> None:
    """Replace the partition table of `disk` with `layout`, and check it by reading it back.

    The kernel is not told; see `bootcpy.system.disk.partitions`.

    Raises:
        TargetError: libparted cannot use the disk, or the table reads back differently.
    """
    _write_table(disk, layout)
    run("sfdisk", "--no-tell-kernel", "--disk-id", disk, str(layout.disk_uuid).upper())
    for partition in layout.partitions:
        number = str(partition.number)
        uuid = str(partition.uuid).upper()
        run("sfdisk", "--no-tell-kernel", "--part-uuid", disk, number, uuid)
        if partition.bootable:
            run("sfdisk", "--no-tell-kernel", "--part-attrs", disk, number, "LegacyBIOSBootable")
    _verify(disk, layout)


def _write_table(disk: Path, layout: DiskLayout) -> None:
    import parted  # noqa: PLC0415 - a C library that only this command needs

    try:
        device = parted.getDevice(str(disk))
        sector_bytes = device.sectorSize
        table = parted.freshDisk(device, "gpt")
        for partition in layout.partitions:
            geometry = parted.Geometry(
                device=device,
                start=partition.start_bytes // sector_bytes,
                length=partition.size_bytes // sector_bytes,
            )
            made = parted.Partition(disk=table, type=parted.PARTITION_NORMAL, geometry=geometry)
            table.addPartition(partition=made, constraint=parted.Constraint(exactGeom=geometry))
            made.set_name(partition.name)
            made.type_uuid = partition.type_uuid.bytes
        table.commitToDevice()
    except (parted.DeviceException, parted.DiskException, parted.PartitionException) as e:
        raise _cannot_write(disk, e) from e
    except parted.IOException as e:
        raise _cannot_write(disk, e) from e


def _cannot_write(disk: Path, cause: Exception) -> TargetError:
    return TargetError(
        f"cannot write a partition table to {disk}: {cause}",
        hint="the disk may be failing or in use: see the kernel's messages (`dmesg`)",
    )


def rename(disk: Path, number: int, name: str) -> None:
    """Give the partition `number` of `disk` another name; the kernel is not told."""
    run("sfdisk", "--no-tell-kernel", "--part-label", disk, str(number), name)


def read(disk: Path) -> FoundTable | None:
    """Return the partition table of `disk`, of whatever kind; None without one to be read."""
    try:
        return parse_table(run("sfdisk", "--json", disk, ok=(0, 1)))
    except (ToolFailedError, TargetError):  # damaged, perhaps on purpose
        return None


def _verify(disk: Path, layout: DiskLayout) -> None:
    table = read(disk)
    found = None if table is None else (table.id.lower(), [_found(p) for p in table.partitions])
    if found != (str(layout.disk_uuid), [_wanted(p) for p in layout.partitions]):
        raise TargetError(
            f"{disk} did not keep the partition table that was written to it",
            hint="the disk may be failing: see the kernel's messages (`dmesg`)",
        )


_Key = tuple[int, int, str, str, str]


def _found(p: FoundPartition) -> _Key:
    return (p.start_bytes, p.size_bytes, p.type.lower(), (p.uuid or "").lower(), p.name)


def _wanted(p: Partition) -> _Key:
    return (p.start_bytes, p.size_bytes, str(p.type_uuid), str(p.uuid), p.name)
