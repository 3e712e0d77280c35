"""Who uses a disk: mounts, swap space, what is built on it, and programs that locked it.

Found through /sys and /proc by device number, since names differ between a container and
its host.
"""

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from bootcpy.system.disk.sysfs import SYS, device_number, read_text
from bootcpy.system.files.mount import Mount, read_mounts

Family = Mapping[str, str]  # device numbers and names


def family_of(sysfs: Path) -> Family:
    """Return the device at `sysfs`, its partitions and all that is built on them."""
    family: dict[str, str] = {}
    pending = [sysfs]
    while pending:
        device = pending.pop()
        number = read_text(device / "dev")
        if number is None or number in family:
            continue
        family[number] = device.name
        pending += [child.parent for child in device.glob("*/partition")]
        pending += [holder.resolve() for holder in device.glob("holders/*")]
        for loop in SYS.glob("block/loop*/loop/backing_file"):
            if read_text(loop) == f"/dev/{device.name}":
                pending.append(loop.parent.parent.resolve())
    return family


def mounts_of(family: Family) -> list[Mount]:
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
    return device_number(status.st_rdev) if status and stat.S_ISBLK(status.st_mode) else ""


def swaps_of(family: Family) -> tuple[str, ...]:
    """Return the devices of the family that are swap space."""
    lines = (read_text(Path("/proc/swaps")) or "").splitlines()[1:]
    return tuple(
        path for path in (line.split()[0] for line in lines) if _source_number(path) in family
    )


def holders_of(sysfs: Path, family: Family) -> tuple[str, ...]:
    """Return what is built on the device: everything of its family but it and its partitions."""
    own = {sysfs.name, *(child.parent.name for child in sysfs.glob("*/partition"))}
    return tuple(_describe_holder(name) for name in family.values() if name not in own)


def _describe_holder(name: str) -> str:
    sysfs = SYS / "block" / name
    mapped = read_text(sysfs / "dm/name")
    if mapped is not None:
        uuid = read_text(sysfs / "dm/uuid") or ""
        kind = {"LVM": "LVM", "CRYPT": "encryption", "mpath": "multipath"}.get(uuid.split("-")[0])
        return f"{mapped} ({kind or 'device mapper'})"
    if (sysfs / "md").exists():
        return f"{name} (RAID)"
    return f"{name} (loop device)" if (sysfs / "loop").exists() else name


def is_busy(device: Path) -> bool:
    """Return whether a mount in any namespace, a RAID or the like has claimed the device."""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as e:
        return e.errno == errno.EBUSY
    return False


def loops_on(file: os.stat_result) -> tuple[str, ...]:
    """Return the loop devices that the file is attached to."""
    found: list[str] = []
    for backing in sorted(SYS.glob("block/loop*/loop/backing_file")):
        try:
            other = Path(read_text(backing) or "").stat()
        except OSError:
            continue
        if os.path.samestat(file, other):
            found.append(backing.parent.parent.name)
    return tuple(found)
