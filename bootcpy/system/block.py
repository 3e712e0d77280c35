"""Disks: what they are, what is on them, who uses them; and waiting for partitions.

Facts come from sysfs and /proc, by device number, because neither udev nor the host's
/dev need be visible in a container. pyudev adds what only udev's database knows and
waits for partition nodes; this is its only importer.
"""

import errno
import fcntl
import json
import logging
import os
import stat
import struct
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bootcpy.errors import TargetError, ToolFailedError
from bootcpy.model.layout import UNFINISHED_NAME, DiskFacts, DiskLayout, Partition
from bootcpy.model.size import format_size
from bootcpy.model.target import UNFINISHED, TargetState
from bootcpy.system import gpt
from bootcpy.system.loop import device_node
from bootcpy.system.mount import Mount, read_mounts
from bootcpy.system.run import run

log = logging.getLogger(__name__)

_SYS = Path("/sys")
_SECTOR_BYTES = 512  # the unit of sysfs sizes, whatever the disk's own
_BLKRRPART = 0x125F  # linux/fs.h
_FLOCK = struct.Struct("hhqqi4x")  # struct flock where off_t has 64 bits
_PARTITION_TIMEOUT_S = 10.0
_LOCK_TIMEOUT_S = 10.0  # udev probes for moments only
_POLL_S = 0.1
_HOST_ROOTS = frozenset({Path("/"), Path("/sysroot"), Path("/usr")})


def read_disk(path: Path) -> TargetState:
    """Return what is known about the block device `path`, and who uses it.

    Raises:
        TargetError: there is no such device, or it is no block device.
    """
    try:
        status = path.stat()
    except FileNotFoundError as e:
        raise TargetError(
            f"there is no device {path}", hint="`lsblk` lists the disks of this machine"
        ) from e
    except OSError as e:
        raise TargetError(f"cannot look at {path}: {e.strerror}") from e
    if not stat.S_ISBLK(status.st_mode):
        raise TargetError(
            f"{path} is not a block device",
            hint="to install onto a disk file, add --via-loopback"
            if stat.S_ISREG(status.st_mode)
            else "`lsblk` lists the disks of this machine",
        )
    path = path.resolve()
    sysfs = (_SYS / "dev/block" / _number(status.st_rdev)).resolve()
    parent = f"/dev/{sysfs.parent.name}" if (sysfs / "partition").exists() else None
    disk = sysfs.parent if parent else sysfs
    size_bytes = _read_int(sysfs / "size") * _SECTOR_BYTES
    family = _descendants(sysfs)
    mounts = _mounts_of(family)
    state = TargetState(
        disk=DiskFacts(
            path=str(path),
            size_bytes=size_bytes,
            identity=f"{_number(status.st_rdev)} {_read_text(disk / 'diskseq')}",
            sector_bytes=_read_int(disk / "queue/logical_block_size") or _SECTOR_BYTES,
            model=_property(sysfs, "ID_MODEL") or _read_text(disk / "device/model"),
            serial=_property(sysfs, "ID_SERIAL_SHORT") or _read_text(disk / "device/serial"),
        ),
        parent=parent,
        read_only=_read_int(sysfs / "ro") == 1,
        mounts=tuple((f"/dev/{family[m.device]}", str(m.mount_point)) for m in mounts),
        swaps=_swaps_of(family),
        holders=_holders_of(sysfs, family),
        runs_host=any(m.mount_point in _HOST_ROOTS for m in mounts),
        busy=_is_busy(path),
    )
    return _with_contents(state)


def read_disk_file(path: Path) -> TargetState:
    """Return what is known about the regular file `path` that is to be used as a disk.

    Raises:
        TargetError: there is no such file, or it is no regular file.
    """
    try:
        status = path.stat()
    except FileNotFoundError as e:
        raise TargetError(
            f"there is no file {path}", hint=f"make one: `truncate --size=10G {path}`"
        ) from e
    except OSError as e:
        raise TargetError(f"cannot look at {path}: {e.strerror}") from e
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
            identity=f"{_number(status.st_dev)} {status.st_ino}",
            model="disk file",
            via_loopback=True,
        ),
        holders=tuple(f"{name} (loop device)" for name in _loops_on(status)),
        read_only=not os.access(path, os.W_OK),
        busy=_is_locked(path),
        available_bytes=below.f_bavail * below.f_frsize + status.st_blocks * _SECTOR_BYTES,
    )
    return _with_contents(state)


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
    """Return what is on the disk or disk file, each thing in a few words; nothing if empty."""
    found = json.loads(run("wipefs", "--no-act", "--json", disk) or "{}")
    contents: list[str] = []
    for signature in found.get("signatures", []):
        words = describe_signature(signature)
        if words not in contents:
            contents.append(words)
    if any("partition table" in words for words in contents):
        table = _read_table(disk)
        if any(p.get("name") == UNFINISHED_NAME for p in table.get("partitions", [])):
            return (UNFINISHED,)
        contents = [words for words in contents if "partition table" not in words]
        contents.insert(0, _describe_table(table))
    return tuple(contents)


def describe_signature(signature: Mapping[str, str | None]) -> str:
    """Return one of wipefs' findings in words."""
    kind = signature.get("type") or "unknown"
    if kind in {"gpt", "PMBR", "dos", "atari", "sun", "mac", "bsd"}:
        return "a partition table"
    label = signature.get("label")
    return f"{kind} data" + (f" labelled {label!r}" if label else "")


def _read_table(disk: Path) -> dict[str, Any]:
    try:
        return gpt.read(disk) or {}
    except ToolFailedError:
        return {}


def _describe_table(table: Mapping[str, Any]) -> str:
    if "label" not in table:
        return "a damaged partition table"
    sector_bytes = table.get("sectorsize", _SECTOR_BYTES)
    partitions = [
        f"{p.get('name') or 'unnamed'} {format_size(p['size'] * sector_bytes)}"
        for p in table.get("partitions", [])
    ]
    names = f": {'; '.join(partitions)}" if partitions else ""
    count = len(partitions)
    plural = "" if count == 1 else "s"
    return f"a {table['label']} partition table with {count} partition{plural}{names}"


def _number(device: int) -> str:
    return f"{os.major(device)}:{os.minor(device)}"


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def _read_int(path: Path) -> int:
    return int(_read_text(path) or 0)


def _property(sysfs: Path, name: str) -> str | None:
    import pyudev  # noqa: PLC0415 - only this command needs it

    try:
        device = pyudev.Devices.from_sys_path(pyudev.Context(), str(sysfs))
    except pyudev.DeviceNotFoundError:
        return None
    value: str | None = device.properties.get(name)
    return value


def _descendants(sysfs: Path) -> dict[str, str]:
    """Return the device numbers and names of a device, its partitions and all they hold up."""
    family: dict[str, str] = {}
    pending = [sysfs]
    while pending:
        device = pending.pop()
        number = _read_text(device / "dev")
        if number is None or number in family:
            continue
        family[number] = device.name
        pending += [child.parent for child in device.glob("*/partition")]
        pending += [holder.resolve() for holder in device.glob("holders/*")]
        for loop in _SYS.glob("block/loop*/loop/backing_file"):
            if _read_text(loop) == f"/dev/{device.name}":
                pending.append(loop.parent.parent.resolve())
    return family


def _mounts_of(family: Mapping[str, str]) -> list[Mount]:
    """Return the mounts, the host's and ours, of any device of the family."""
    found: list[Mount] = []
    for mount in (*read_mounts(1), *read_mounts()):
        number = mount.device if mount.device in family else _source_number(mount.source)
        if number in family:
            found.append(
                Mount(
                    device=number,
                    mount_point=mount.mount_point,
                    filesystem=mount.filesystem,
                    source=mount.source,
                )
            )
    return found


def _source_number(source: str) -> str:
    """Return the device number behind a mount's source: btrfs mounts have one of their own."""
    try:
        status = Path(source).stat() if source.startswith("/dev/") else None
    except OSError:
        return ""
    return _number(status.st_rdev) if status and stat.S_ISBLK(status.st_mode) else ""


def _swaps_of(family: Mapping[str, str]) -> tuple[str, ...]:
    lines = (_read_text(Path("/proc/swaps")) or "").splitlines()[1:]
    return tuple(
        path for path in (line.split()[0] for line in lines) if _source_number(path) in family
    )


def _holders_of(sysfs: Path, family: Mapping[str, str]) -> tuple[str, ...]:
    """Return what is built on the device: everything of its family but it and its partitions."""
    own = {sysfs.name, *(child.parent.name for child in sysfs.glob("*/partition"))}
    return tuple(_describe_holder(name) for name in family.values() if name not in own)


def _describe_holder(name: str) -> str:
    sysfs = _SYS / "block" / name
    mapped = _read_text(sysfs / "dm/name")
    if mapped is not None:
        uuid = _read_text(sysfs / "dm/uuid") or ""
        kind = {"LVM": "LVM", "CRYPT": "encryption", "mpath": "multipath"}.get(uuid.split("-")[0])
        return f"{mapped} ({kind or 'device mapper'})"
    if (sysfs / "md").exists():
        return f"{name} (RAID)"
    return f"{name} (loop device)" if (sysfs / "loop").exists() else name


def _is_busy(device: Path) -> bool:
    """Return whether a mount in any namespace, a RAID or the like has claimed the device."""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as e:
        return e.errno == errno.EBUSY
    return False


def _loops_on(status: os.stat_result) -> Iterator[str]:
    for backing in sorted(_SYS.glob("block/loop*/loop/backing_file")):
        try:
            other = Path(_read_text(backing) or "").stat()
        except OSError:
            continue
        if os.path.samestat(status, other):
            yield backing.parent.parent.name


def _is_locked(path: Path) -> bool:
    """Return whether a program has locked the file, as QEMU locks the images it uses."""
    try:
        with path.open("rb") as file:
            question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            answer = _FLOCK.unpack(fcntl.fcntl(file, fcntl.F_OFD_GETLK, question))
    except OSError:
        return False
    return bool(answer[0] != fcntl.F_UNLCK)


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
        raise TargetError(f"cannot open {disk} for writing: {e.strerror}") from e
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
                    hint="`lslocks` names it; wait for it to finish",
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
    sysfs = (_SYS / "dev/block" / _number(disk.stat().st_rdev)).resolve()
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
                        hint="something began to use the disk; stop it and try again",
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
            if _read_int(child) != partition.number or not _is_at(sysfs, partition):
                continue
            major, minor = (_read_text(sysfs / "dev") or "0:0").split(":")
            node = device_node(sysfs.name, os.makedev(int(major), int(minor)), nodes=nodes)
            if _partition_uuid(node) == str(partition.uuid):
                return node
        monitor.poll(timeout=_POLL_S)  # an event, or time to look again where none can reach us
    raise TargetError(
        f"partition {partition.number} ({partition.name}) of /dev/{disk.name} did not appear",
        hint="see the kernel's messages (`dmesg`)",
    )


def _is_at(sysfs: Path, partition: Partition) -> bool:
    start_bytes = _read_int(sysfs / "start") * _SECTOR_BYTES
    size_bytes = _read_int(sysfs / "size") * _SECTOR_BYTES
    return (start_bytes, size_bytes) == (partition.start_bytes, partition.size_bytes)


def _partition_uuid(node: Path) -> str:
    # Status 2: nothing could be told of it (yet).
    text = run("blkid", "--probe", "--output", "export", node, ok=(0, 2))
    values = dict(line.partition("=")[::2] for line in text.splitlines())
    return values.get("PART_ENTRY_UUID", "").lower()
