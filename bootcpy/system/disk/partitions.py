"""Partitions of a table that was just written: the kernel reads it, and their nodes appear."""

import errno
import fcntl
import os
import time
from pathlib import Path

from bootcpy.errors import TargetError
from bootcpy.model.install.layout import DiskLayout, Partition
from bootcpy.system.disk.loop import device_node
from bootcpy.system.disk.sysfs import SECTOR_BYTES, block_device, read_int, read_text
from bootcpy.system.disk.udev import listen_for_partitions
from bootcpy.system.process.run import run

_BLKRRPART = 0x125F  # linux/fs.h
_TIMEOUT_S = 10.0
_POLL_S = 0.1


def partition_nodes(disk: Path, layout: DiskLayout, *, nodes: Path) -> dict[int, Path] | None:
    """Make the kernel read the new table, and return a node for each partition by number.

    None if the kernel gives this device no partitions, as a loop device that is not
    scanned. Nodes that /dev lacks are made in `nodes`.

    Raises:
        TargetError: the kernel cannot re-read the table, or a partition does not appear.
    """
    if not _reread(disk):
        return None
    sysfs = block_device(disk.stat().st_rdev)
    if not any(sysfs.glob("*/partition")):
        # A kernel without a parser for GPT still takes partitions it is told of (BLKPG).
        run("partx", "--add", disk, ok=(0, 1))
    if not any(sysfs.glob("*/partition")):
        return None
    return {p.number: _await_partition(sysfs, p, nodes=nodes) for p in layout.partitions}


def _reread(disk: Path) -> bool:
    fd = os.open(disk, os.O_RDONLY | os.O_CLOEXEC)
    deadline = time.monotonic() + _TIMEOUT_S
    try:
        while True:
            try:
                fcntl.ioctl(fd, _BLKRRPART)
            except OSError as e:
                if e.errno in {errno.EINVAL, errno.ENOTTY}:
                    return False
                # Busy: somebody, such as a desktop, takes a short look at an old partition.
                if e.errno != errno.EBUSY or time.monotonic() >= deadline:
                    raise TargetError(
                        f"the kernel cannot re-read the partition table of {disk}: {e.strerror}",
                        hint="another program began to use the disk; stop it and try again",
                    ) from e
                time.sleep(_POLL_S)
            else:
                return True
    finally:
        os.close(fd)


def _await_partition(disk: Path, partition: Partition, *, nodes: Path) -> Path:
    """Return the node of the partition with this UUID, waiting for it through udev."""
    wait_for_event = listen_for_partitions()
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        for child in disk.glob("*/partition"):
            sysfs = child.parent
            if read_int(child) != partition.number or not _is_at(sysfs, partition):
                continue
            major, minor = (read_text(sysfs / "dev") or "0:0").split(":")
            node = device_node(sysfs.name, os.makedev(int(major), int(minor)), nodes=nodes)
            if _partition_uuid(node) == str(partition.uuid):
                return node
        wait_for_event(_POLL_S)  # an event, or time to look again where none can reach us
    raise TargetError(
        f"partition {partition.number} ({partition.name}) of /dev/{disk.name} did not appear",
        hint="see the kernel's messages (`dmesg`)",
    )


def _is_at(sysfs: Path, partition: Partition) -> bool:
    start_bytes = read_int(sysfs / "start") * SECTOR_BYTES
    size_bytes = read_int(sysfs / "size") * SECTOR_BYTES
    return (start_bytes, size_bytes) == (partition.start_bytes, partition.size_bytes)


def _partition_uuid(node: Path) -> str:
    # Status 2: nothing could be told of it (yet).
    text = run("blkid", "--probe", "--output", "export", node, ok=(0, 2))
    values = dict(line.partition("=")[::2] for line in text.splitlines())
    return values.get("PART_ENTRY_UUID", "").lower()
