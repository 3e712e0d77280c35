"""Disks: what is known about them, keeping others off, and waiting for partitions.

Facts come from sysfs and /proc, by device number, because neither udev nor the host's
/dev need be visible in a container. pyudev adds what only udev's database knows and
waits for partition nodes; this is its only importer.
"""

import errno
import fcntl
import logging
import os
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bootcpy.errors import TargetError, ToolFailedError
from bootcpy.model.install.disk_contents import (
    describe_contents,
    is_partition_table,
    parse_signatures,
)
from bootcpy.model.install.layout import DiskFacts, DiskLayout, Partition
from bootcpy.model.install.target import TargetState
from bootcpy.system.disk import gpt, users
from bootcpy.system.disk.loop import device_node
from bootcpy.system.disk.sysfs import SECTOR_BYTES, block_device, device_number, read_int, read_text
from bootcpy.system.process.locks import is_locked
from bootcpy.system.process.run import run

log = logging.getLogger(__name__)

_BLKRRPART = 0x125F  # linux/fs.h
_PARTITION_TIMEOUT_S = 10.0
_LOCK_TIMEOUT_S = 10.0  # udev probes for moments only
_POLL_S = 0.1
_HOST_ROOTS = frozenset({Path("/"), Path("/sysroot"), Path("/usr")})


def read_disk(path: Path) -> TargetState:
    """Return what is known about the block device `path`, and who uses it.

    Raises:
        TargetError: there is no such device, or it is no block device.
    """
    status = _status(path, kind="device", hint="`lsblk` lists the disks of this machine")
    if not stat.S_ISBLK(status.st_mode):
        raise TargetError(
            f"{path} is not a block device",
            hint="to install onto a disk file, add --via-loopback"
            if stat.S_ISREG(status.st_mode)
            else "`lsblk` lists the disks of this machine",
        )
    path = path.resolve()
    sysfs = block_device(status.st_rdev)
    parent = f"/dev/{sysfs.parent.name}" if (sysfs / "partition").exists() else None
    disk = sysfs.parent if parent else sysfs
    size_bytes = read_int(sysfs / "size") * SECTOR_BYTES
    family = users.family_of(sysfs)
    mounts = users.mounts_of(family)
    state = TargetState(
        disk=DiskFacts(
            path=str(path),
            size_bytes=size_bytes,
            identity=f"{device_number(status.st_rdev)} {read_text(disk / 'diskseq')}",
            sector_bytes=read_int(disk / "queue/logical_block_size") or SECTOR_BYTES,
            model=_property(sysfs, "ID_MODEL") or read_text(disk / "device/model"),
            serial=_property(sysfs, "ID_SERIAL_SHORT") or read_text(disk / "device/serial"),
        ),
        parent=parent,
        read_only=read_int(sysfs / "ro") == 1,
        mounts=tuple((f"/dev/{family[m.device]}", str(m.mount_point)) for m in mounts),
        swaps=users.swaps_of(family),
        holders=users.holders_of(sysfs, family),
        runs_host=any(m.mount_point in _HOST_ROOTS for m in mounts),
        busy=users.is_busy(path),
    )
    return _with_contents(state)


def read_disk_file(path: Path) -> TargetState:
    """Return what is known about the regular file `path` that is to be used as a disk.

    Raises:
        TargetError: there is no such file, or it is no regular file.
    """
    status = _status(path, kind="file", hint=f"make one: `truncate --size=10G {path}`")
    if not stat.S_ISREG(status.st_mode):
        raise TargetError(
            f"{path} is not a regular file (to be used via loopback)",
            hint="leave out --via-loopback to install onto a device",
        )
    path = path.resolve()
    below = os.statvfs(path)
    state = TargetState(
        disk=DiskFacts(
            path=str(path),
            size_bytes=status.st_size,
            identity=f"{device_number(status.st_dev)} {status.st_ino}",
            model="disk file",
            via_loopback=True,
        ),
        holders=tuple(f"{name} (loop device)" for name in users.loops_on(status)),
        read_only=not os.access(path, os.W_OK),
        busy=is_locked(path),
        available_bytes=below.f_bavail * below.f_frsize + status.st_blocks * SECTOR_BYTES,
    )
    return _with_contents(state)


def _status(path: Path, *, kind: str, hint: str) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError as e:
        raise TargetError(f"there is no {kind} {path}", hint=hint) from e
    except OSError as e:
        raise TargetError(f"cannot read {path}: {e.strerror}", hint=hint) from e


def _with_contents(state: TargetState) -> TargetState:
    if state.in_use or state.disk.size_bytes == 0:
        return state
    try:
        contents = read_contents(Path(state.disk.path))
    except ToolFailedError as e:
        raise TargetError(
            f"cannot read {state.disk.path}: {e.message}",
            hint="see the kernel's messages (`dmesg`), or choose another disk",
        ) from e
    return replace(state, disk=replace(state.disk, contents=contents))


def read_contents(disk: Path) -> tuple[str, ...]:
    """Return what is on the disk or disk file, each thing in a few words; nothing if empty.

    Raises:
        ToolFailedError: the disk cannot be read.
        TargetError: wipefs says what cannot be understood.
    """
    signatures = parse_signatures(run("wipefs", "--no-act", "--json", disk))
    table = gpt.read(disk) if any(map(is_partition_table, signatures)) else None
    return describe_contents(signatures, table)


def _property(sysfs: Path, name: str) -> str | None:
    import pyudev  # noqa: PLC0415 - only this command needs it

    try:
        device = pyudev.Devices.from_sys_path(pyudev.Context(), str(sysfs))
    except pyudev.DeviceNotFoundError:
        return None
    value: str | None = device.properties.get(name)
    return value


@contextmanager
def locked(disk: Path) -> Generator[None]:
    """Keep other installations off the device or file `disk`, and udev's probing, for as long.

    systemd's "Locking Block Device Access": a BSD lock on the whole disk's node. As the
    node stays open, its name is not given to another device meanwhile.

    Raises:
        TargetError: it cannot be opened for writing, or others keep it locked.
    """
    try:
        fd = os.open(disk, os.O_RDWR | os.O_CLOEXEC)
    except OSError as e:
        raise TargetError(
            f"cannot open {disk} for writing: {e.strerror}",
            hint="find what uses it (`lsof`), and check that it is not read-only",
        ) from e
    try:
        _lock(fd, disk)
        yield
        os.fsync(fd)
    finally:
        os.close(fd)


def _lock(fd: int, disk: Path) -> None:
    deadline = time.monotonic() + _LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            if time.monotonic() >= deadline:
                raise TargetError(
                    f"{disk} is locked by another program, perhaps another installation",
                    hint="find it with `lslocks`, and wait for it to finish",
                ) from e
            time.sleep(_POLL_S)
        else:
            return


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
    deadline = time.monotonic() + _PARTITION_TIMEOUT_S
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
    import pyudev  # noqa: PLC0415 - only this command needs it

    context = pyudev.Context()
    # The kernel's own events: udevd, if there is one, is kept off by our lock.
    monitor = pyudev.Monitor.from_netlink(context, source="kernel")
    monitor.filter_by("block", "partition")
    monitor.start()
    deadline = time.monotonic() + _PARTITION_TIMEOUT_S
    while time.monotonic() < deadline:
        for child in disk.glob("*/partition"):
            sysfs = child.parent
            if read_int(child) != partition.number or not _is_at(sysfs, partition):
                continue
            major, minor = (read_text(sysfs / "dev") or "0:0").split(":")
            node = device_node(sysfs.name, os.makedev(int(major), int(minor)), nodes=nodes)
            if _partition_uuid(node) == str(partition.uuid):
                return node
        monitor.poll(timeout=_POLL_S)  # an event, or time to look again where none can reach us
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
