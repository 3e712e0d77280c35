"""Disks: what is known about them.

Facts come from sysfs and /proc, by device number, because neither udev nor the host's
/dev need be visible in a container. udev adds what only its database knows.
"""

import os
import stat
from dataclasses import replace
from pathlib import Path

from bootcpy.errors import TargetError, ToolFailedError
from bootcpy.model.install.disk_contents import (
    describe_contents,
    is_partition_table,
    parse_signatures,
)
from bootcpy.model.install.layout import DiskFacts
from bootcpy.model.install.target import TargetState
from bootcpy.system.disk import gpt, users
from bootcpy.system.disk.sysfs import SECTOR_BYTES, block_device, device_number, read_int, read_text
from bootcpy.system.disk.udev import read_property
from bootcpy.system.process.locks import is_locked
from bootcpy.system.process.run import run

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
            model=read_property(sysfs, "ID_MODEL") or read_text(disk / "device/model"),
            serial=read_property(sysfs, "ID_SERIAL_SHORT") or read_text(disk / "device/serial"),
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
