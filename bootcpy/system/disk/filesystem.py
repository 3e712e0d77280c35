"""Making file systems, and bringing one to rest before it is used elsewhere.

mkfs takes its times from SOURCE_DATE_EPOCH where it can (mke2fs since 1.47.1,
mkfs.fat since 4.2); the environment reaches it unchanged.
"""

import errno
import fcntl
import os
from pathlib import Path
from uuid import UUID, uuid5

from bootcpy.model.install.layout import Filesystem, Partition
from bootcpy.system.process.run import run

_FIFREEZE = 0xC0045877  # linux/fs.h
_FITHAW = 0xC0045878


def make_root(device: Path, partition: Partition, *, reproducible: bool) -> None:
    """Make the root file system that `partition` asks for on `device`.

    As bootc: mkfs with the planned UUID and label, and on ext4 the verity feature. What
    the device held before is overwritten without asking.
    """
    uuid = str(partition.filesystem_id)
    label = str(partition.label)
    match Filesystem(str(partition.filesystem)):
        case Filesystem.EXT4:
            seed = ("-E", f"hash_seed={uuid5(UUID(uuid), 'hash seed')}") if reproducible else ()
            run("mkfs.ext4", "-q", "-F", *("-U", uuid), *("-L", label), *("-O", "verity"), *seed,
                device)  # fmt: skip
        case Filesystem.XFS:
            run("mkfs.xfs", "-q", "-f", *("-m", f"uuid={uuid}"), *("-L", label), device)
        case Filesystem.BTRFS:
            run("mkfs.btrfs", "-q", "-f", *("-U", uuid), *("-L", label), device)


def make_esp(device: Path, partition: Partition, *, sector_bytes: int) -> None:
    """Make the FAT32 file system of an EFI system partition on `device`."""
    volume_id = str(partition.filesystem_id).replace("-", "")
    hidden_sectors = partition.start_bytes // sector_bytes
    run(
        "mkfs.fat",
        "-I",  # a loop device stands for the partition: not a "whole disk"
        *("-F", "32"),
        *("-i", volume_id),
        *("-n", str(partition.label)),
        *("-h", str(hidden_sectors)),
        *("-S", str(sector_bytes)),
        device,
    )


def finish(root: Path) -> None:
    """Bring the file system mounted at `root` to rest: trimmed, read-only, journal empty.

    As bootc's finalize_filesystem: the boot loader need not replay a journal, and a disk
    file has no blocks that only deleted files used.
    """
    run("fstrim", "--quiet-unsupported", root)
    run("mount", "-o", "remount,ro", root)
    # Not by fsfreeze(8): whoever is stopped between its two runs leaves the file system
    # frozen, and with it the disk in use until the machine is started again.
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _FIFREEZE, 0)
    finally:
        _thaw(fd)
        os.close(fd)


def _thaw(fd: int) -> None:
    try:
        fcntl.ioctl(fd, _FITHAW, 0)
    except OSError as e:
        if e.errno != errno.EINVAL:  # that is: it was not frozen
            raise
