"""Which partitions a disk gets: `plan_layout()` and the data it returns.

The partitions, their type GUIDs, names, sizes and order are those of bootc
(install/baseline.rs), so that tools which know its disks know ours.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID, uuid4, uuid5

from bootcpy.errors import TargetError
from bootcpy.model.base.architecture import WITH_LAYOUT, Architecture
from bootcpy.model.base.size import GIB, MIB, align_down, align_up, format_size

# UEFI specification, "GUID Partition Table": every offset a multiple of this suits
# all sector sizes and every flash erase block seen in practice (libparted's default).
ALIGNMENT = MIB
# The backup GPT: 128 entries of 128 bytes and a header, whatever the sector size.
_BACKUP_TABLE_BYTES = MIB

# The root partition's name until the installation is complete. Whoever finds it knows that
# nothing on the disk is worth keeping: it was empty, or wiped on request, just before.
UNFINISHED_NAME = "unfinished-install"

BIOS_BOOT_SIZE_BYTES = 1 * MIB
ESP_SIZE_BYTES = 512 * MIB  # as bootc: EFIPN_SIZE_MB
PREP_SIZE_BYTES = 4 * MIB

# As bootc and GRUB name these types.
BIOS_BOOT_TYPE = UUID("21686148-6449-6e6f-744e-656564454649")
ESP_TYPE = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
PREP_TYPE = UUID("9e1a2d38-c612-4316-aa26-8b49521e5a8b")

_NAMESPACE = UUID("0b47c9f1-3c0e-5a0c-9e55-6f3f5a3c7d21")  # ours; never changes


class Filesystem(StrEnum):
    """What a root file system may be."""

    XFS = "xfs"
    EXT4 = "ext4"
    BTRFS = "btrfs"


class PartitionRole(StrEnum):
    """What a partition is for."""

    BIOS_BOOT = "bios-boot"
    ESP = "esp"
    PREP = "prep"
    ROOT = "root"


# Something that needs an identity ("disk", "root file system") to its UUID.
Identify = Callable[[str], UUID]


def random_identity(_purpose: str) -> UUID:
    """Return a new UUID each time: what an installation has unless it is seeded."""
    return uuid4()


def seeded_identity(seed: str, source_date_epoch: int | None) -> Identify:
    """Return a function that gives the same UUID for the same purpose, seed and epoch."""
    base = uuid5(_NAMESPACE, f"{seed}\n{'' if source_date_epoch is None else source_date_epoch}")
    return lambda purpose: uuid5(base, purpose)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFacts:
    """What was found out about the disk (or disk file) to install to."""

    path: str
    size_bytes: int
    identity: str = ""  # differs between two things that bore this path one after the other
    sector_bytes: int = 512
    model: str | None = None
    serial: str | None = None
    via_loopback: bool = False
    contents: tuple[str, ...] = ()  # what is on it now, each as a few words


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One partition to make; `filesystem` is None where raw content goes."""

    number: int
    role: PartitionRole
    name: str
    type_uuid: UUID
    uuid: UUID
    start_bytes: int
    size_bytes: int
    filesystem: str | None = None  # a Filesystem value, or "vfat"
    filesystem_id: str | None = None  # as blkid prints it: a UUID, or FAT's "1A2B-3C4D"
    label: str | None = None
    bootable: bool = False  # GPT attribute bit 2, "legacy BIOS bootable"

    @property
    def end_bytes(self) -> int:
        """The first byte behind the partition."""
        return self.start_bytes + self.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskLayout:
    """The partition table to write; offsets count from the start of the disk."""

    disk_uuid: UUID
    size_bytes: int
    sector_bytes: int
    partitions: tuple[Partition, ...]

    def find(self, role: PartitionRole) -> Partition | None:
        """Return the partition with this role, if the layout has one."""
        return next((p for p in self.partitions if p.role is role), None)

    @property
    def root(self) -> Partition:
        """The root partition, which every layout has."""
        return next(p for p in self.partitions if p.role is PartitionRole.ROOT)

    def unfinished(self) -> "DiskLayout":
        """Return the layout as it stands on the disk until the installation is complete."""
        partitions = tuple(
            replace(p, name=UNFINISHED_NAME) if p.role is PartitionRole.ROOT else p
            for p in self.partitions
        )
        return replace(self, partitions=partitions)


@dataclass(frozen=True, slots=True, kw_only=True)
class RootNeeds:
    """How much space the root file system needs, and why."""

    image_bytes: int  # the image unpacked

    @property
    def size_bytes(self) -> int:
        """The image, file system overhead, the repository's reserve and space to start.

        A quarter covers inodes, a journal, ext4's reserved 5 % and ostree's 3 %
        minimum; the constant covers /var, /boot and small images.
        """
        return self.image_bytes * 5 // 4 + GIB // 2

    def explain(self) -> str:
        """Say what the number is made of."""
        return (
            f"{format_size(self.image_bytes)} for the unpacked image, a quarter more for the "
            f"file system, {format_size(GIB // 2)} to start with"
        )


def plan_layout(
    disk: DiskFacts,
    *,
    machine: str,
    filesystem: Filesystem,
    root_size_bytes: int | None,
    needs: RootNeeds,
    identify: Identify,
) -> DiskLayout:
    """Return the partitions for `disk` on `machine` (as `uname -m` prints it).

    Raises:
        TargetError: the disk or `--root-size` is too small, or the architecture has no layout.
    """
    architecture = Architecture.of(machine)
    if architecture.root_type is None:
        raise TargetError(
            f"there is no disk layout for the architecture {machine}",
            hint=f"known are: {', '.join(WITH_LAYOUT)}",
        )
    start = ALIGNMENT
    partitions: list[Partition] = []
    for role, name, type_uuid, size_bytes in _firmware_partitions(architecture):
        partitions.append(
            Partition(
                number=len(partitions) + 1,
                role=role,
                name=name,
                type_uuid=type_uuid,
                uuid=identify(f"partition {role.value}"),
                start_bytes=start,
                size_bytes=size_bytes,
                filesystem="vfat" if role is PartitionRole.ESP else None,
                filesystem_id=_fat_id(identify("file system esp"))
                if role is PartitionRole.ESP
                else None,
                label="EFI-SYSTEM" if role is PartitionRole.ESP else None,
                bootable=role in {PartitionRole.BIOS_BOOT, PartitionRole.PREP},
            )
        )
        start += size_bytes
    available = align_down(disk.size_bytes - _BACKUP_TABLE_BYTES, ALIGNMENT) - start
    _require_space(disk, start, available, root_size_bytes, needs)
    partitions.append(
        Partition(
            number=len(partitions) + 1,
            role=PartitionRole.ROOT,
            name="root",
            type_uuid=architecture.root_type,
            uuid=identify("partition root"),
            start_bytes=start,
            size_bytes=available if root_size_bytes is None else root_size_bytes,
            filesystem=filesystem.value,
            filesystem_id=str(identify("file system root")),
            label="root",
        )
    )
    return DiskLayout(
        disk_uuid=identify("disk"),
        size_bytes=disk.size_bytes,
        sector_bytes=disk.sector_bytes,
        partitions=tuple(partitions),
    )


def _firmware_partitions(architecture: Architecture) -> list[tuple[PartitionRole, str, UUID, int]]:
    """Return what stands before the root partition: role, name, type and size."""
    partitions: list[tuple[PartitionRole, str, UUID, int]] = []
    if architecture.bios:
        partitions.append((
            PartitionRole.BIOS_BOOT,
            "BIOS-BOOT",
            BIOS_BOOT_TYPE,
            BIOS_BOOT_SIZE_BYTES,
        ))
    if architecture.uefi is not None:
        partitions.append((PartitionRole.ESP, "EFI-SYSTEM", ESP_TYPE, ESP_SIZE_BYTES))
    if architecture.open_firmware:
        partitions.append((PartitionRole.PREP, "PowerPC-PReP-boot", PREP_TYPE, PREP_SIZE_BYTES))
    return partitions


def _require_space(
    disk: DiskFacts,
    used_bytes: int,
    available_bytes: int,
    root_size_bytes: int | None,
    needs: RootNeeds,
) -> None:
    fixed_bytes = used_bytes + _BACKUP_TABLE_BYTES
    if root_size_bytes is not None and root_size_bytes < needs.size_bytes:
        raise TargetError(
            f"--root-size {format_size(root_size_bytes)} is too small: the root file system "
            f"needs {format_size(needs.size_bytes)} ({needs.explain()})",
            hint=f"give --root-size at least {_whole_mib(needs.size_bytes)}, or leave it out",
        )
    wanted = root_size_bytes or needs.size_bytes
    if available_bytes < wanted:
        because = needs.explain() if root_size_bytes is None else "--root-size"
        raise TargetError(
            f"{disk.path} is too small: it has {format_size(disk.size_bytes)}, "
            f"{format_size(wanted + fixed_bytes)} are needed "
            f"({format_size(fixed_bytes)} for boot partitions and tables, "
            f"{format_size(wanted)} for root: {because})",
            hint=f"use a disk of at least {_whole_mib(wanted + fixed_bytes)}",
        )


def _whole_mib(size_bytes: int) -> str:
    return f"{align_up(size_bytes, MIB) // MIB}M"


def _fat_id(uuid: UUID) -> str:
    """Return a FAT volume id made of the first 32 bits of `uuid`, as blkid prints it."""
    return f"{uuid.hex[:4]}-{uuid.hex[4:8]}".upper()
