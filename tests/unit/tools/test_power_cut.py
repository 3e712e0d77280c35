import struct
from pathlib import Path

import pytest

from bootcpy.errors import BootcpyError
from tools import power_cut, qemu
from tools.power_cut import Flag

SECTOR = 512


def recording(*requests: tuple[int, Flag, bytes], announced: int | None = None) -> bytes:
    count = len(requests) if announced is None else announced
    text = struct.pack("<QQQI", 0x6A736677736872, 1, count, SECTOR).ljust(SECTOR, b"\0")
    for sector, flags, written in requests:
        header = struct.pack("<QQQQ", sector, len(written) // SECTOR, flags, 0)
        text += header.ljust(SECTOR, b"\0") + (b"" if flags & Flag.DISCARD else written)
    return text


WRITES = (
    (1, Flag(0), b"a" * SECTOR),
    (0, Flag.FLUSH, b""),
    (2, Flag.DISCARD, b"x" * SECTOR),
    (2, Flag.FUA, b"b" * SECTOR),
)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [(0, "..."), (1, ".a."), (2, ".a."), (3, ".a."), (4, ".ab"), (9, ".ab")],
)
def test_replay_gives_the_disk_after_so_many_requests(
    tmp_path: Path, entries: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # replay copies with cp
    (tmp_path / "log").write_bytes(recording(*WRITES))
    (tmp_path / "base").write_bytes(b"." * 3 * SECTOR)

    power_cut.replay(tmp_path / "log", tmp_path / "base", tmp_path / "cut", entries=entries)

    assert (tmp_path / "cut").read_bytes()[::SECTOR].decode() == expected


def test_read_entries_tells_what_was_promised(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(recording(*WRITES))

    entries = list(power_cut.read_entries(tmp_path / "log"))

    assert [entry.is_durable_point for entry in entries] == [False, True, False, True]
    assert [entry.start_byte for entry in entries] == [SECTOR, 0, 2 * SECTOR, 2 * SECTOR]


def test_read_entries_stops_at_what_was_announced(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(recording(*WRITES, announced=2))

    assert len(list(power_cut.read_entries(tmp_path / "log"))) == 2


@pytest.mark.parametrize("text", [b"", b"not a log".ljust(SECTOR, b"\0")])
def test_read_entries_refuses_another_file(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "log").write_bytes(text)

    with pytest.raises(BootcpyError, match="recording of writes"):
        list(power_cut.read_entries(tmp_path / "log"))


def test_instants_are_when_something_new_was_promised(tmp_path: Path) -> None:
    flush = (0, Flag.FLUSH, b"")
    discard = (2, Flag.DISCARD, b"x" * SECTOR)
    requests = (flush, WRITES[0], flush, flush, discard, flush, WRITES[3], WRITES[0])
    (tmp_path / "log").write_bytes(recording(*requests))
    disk = qemu.Disk(path=tmp_path / "disk")
    recorded = power_cut.Recording(base=tmp_path / "base", log=tmp_path / "log", disk=disk)

    assert power_cut.instants(recorded) == [3, 7]
