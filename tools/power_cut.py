"""The disk as a power cut would leave it, rebuilt from a recording of all writes to it.

`record()` gives a disk to boot that remembers how it was and all that is then written to it,
`instants()` the moments that matter, `disk_at()` the disk as of one of them, and
`tools.boot_menu` what that disk would boot.

`qemu.Disk(write_log=…)` records in the format of the kernel's dm-log-writes target
(Documentation/admin-guide/device-mapper/log-writes.rst, drivers/md/dm-log-writes.c). Replaying
a prefix of the recording onto the disk it began with gives the disk of that moment.
"""

import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntFlag
from pathlib import Path

from bootcpy.errors import BootcpyError
from tools import qemu

_SUPER = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")
_MAGIC = 0x6A736677736872
_VERSION = 1


class Flag(IntFlag):
    """What kind of request an entry records."""

    FLUSH = 1
    FUA = 2
    DISCARD = 4
    MARK = 8
    METADATA = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One request to the disk; its data lies in the log at `data_at`."""

    start_byte: int
    length_bytes: int
    flags: Flag
    data_at: int

    @property
    def is_durable_point(self) -> bool:
        """Whether everything before this entry is promised to survive from here on."""
        return bool(self.flags & (Flag.FLUSH | Flag.FUA))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Boot `disk`, and everything written to it since it was the raw disk `base` is in `log`."""

    base: Path
    log: Path
    disk: qemu.Disk


def record(disk: qemu.Disk, directory: Path) -> Recording:
    """Return a recording that begins with what `disk` holds now and keeps its files in `directory`.

    `disk` is not in use, and is not written to any more.

    Raises:
        subprocess.CalledProcessError: qemu-img fails.
    """
    base, log = directory / "recording-base.img", directory / "recording-writes.img"
    log.unlink(missing_ok=True)
    convert = ["qemu-img", "convert", "-f", disk.format, "-O", "raw", str(disk.path), str(base)]
    subprocess.run(convert, check=True)
    recorded = qemu.overlay(base, directory / "recording.qcow2")
    return Recording(base=base, log=log, disk=replace(recorded, write_log=log))


def instants(recording: Recording) -> list[int]:
    """Return after how many entries something had just been promised to survive, oldest first.

    Between two instants a cut may also keep any part of what was written since the earlier one.

    Raises:
        BootcpyError: nothing was recorded.
    """
    found = []
    written = False
    for number, entry in enumerate(read_entries(recording.log), start=1):
        written |= entry.length_bytes > 0 and not entry.flags & Flag.DISCARD
        if written and entry.is_durable_point:
            found.append(number)
            written = False
    return found


def disk_at(recording: Recording, instant: int, path: Path) -> qemu.Disk:
    """Return a new raw disk at `path`: the recorded one when its power is cut at `instant`.

    Raises:
        BootcpyError: nothing was recorded.
    """
    replay(recording.log, recording.base, path, entries=instant)
    return qemu.Disk(path=path)


def read_entries(log: Path) -> Iterator[Entry]:
    """Yield what was recorded, oldest first.

    A recording whose QEMU was killed may announce fewer entries than it holds: only those
    announced are complete.

    Raises:
        BootcpyError: `log` is not such a recording.
    """
    with log.open("rb") as recording:
        header = recording.read(_SUPER.size)
        if len(header) < _SUPER.size:
            raise BootcpyError(f"{log} is too short to be a recording of writes")
        magic, version, count, log_sector_bytes = _SUPER.unpack(header)
        if (magic, version) != (_MAGIC, _VERSION):
            raise BootcpyError(f"{log} is not a recording of writes")
        at = log_sector_bytes
        for _ in range(count):
            recording.seek(at)
            sector, sectors, flags, _mark_bytes = _ENTRY.unpack(recording.read(_ENTRY.size))
            entry = Entry(
                start_byte=sector * log_sector_bytes,
                length_bytes=sectors * log_sector_bytes,
                flags=Flag(flags),
                data_at=at + log_sector_bytes,
            )
            yield entry
            at = entry.data_at
            if not entry.flags & Flag.DISCARD:
                at += entry.length_bytes


def replay(log: Path, base: Path, target: Path, *, entries: int) -> None:
    """Make `target` the raw disk `base` as it was after the first `entries` of the recording.

    Raises:
        BootcpyError: `log` is not a recording.
    """
    copy = ["cp", "--sparse=always", "--reflink=auto", "--", str(base), str(target)]
    subprocess.run(copy, check=True)
    with log.open("rb") as recording, target.open("r+b") as disk:
        for _, entry in zip(range(entries), read_entries(log), strict=False):
            disk.seek(entry.start_byte)
            if entry.flags & Flag.DISCARD:
                continue  # what a discarded block holds is undefined; the old data is allowed
            recording.seek(entry.data_at)
            disk.write(recording.read(entry.length_bytes))
