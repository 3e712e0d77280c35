"""What is remembered of a layer's members until its directories are built: one record for each.

A record is bytes that sort as the tree is walked: directories before what is in them, names in
the order of their bytes, and of several members with one name the last one last. That is why
names stand apart by a NUL, which sorts before all they can hold, and end in two. Pure.
"""

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

CHECKSUM_BYTES: Final = 32
_END: Final = b"\0\0"
_FACTS: Final = struct.Struct(">QIIB")  # big-endian, so that members sort by their number


class MemberKind(IntEnum):
    """What a member is in the tree."""

    DIRECTORY = 0
    FILE = 1  # or a symbolic link: what has a content object
    LINK = 2  # a hard link


class Record(NamedTuple):
    """One member.

    Attributes:
        key: its path, as `key_of` has it.
        number: its place among the members.
        uid: its owner, who also gets the directories that it makes necessary.
        payload: a checksum, or the key of a hard link's target.
    """

    key: bytes
    number: int
    uid: int
    gid: int
    kind: MemberKind
    payload: bytes


def key_of(path: str) -> bytes:
    """Return the path, which holds no NUL, in the form that records sort by."""
    return path.encode().replace(b"/", b"\0")


def path_of(key: bytes) -> str:
    """Return the path that `key_of` was given."""
    return key.replace(b"\0", b"/").decode()


def pack(record: Record) -> bytes:
    """Return the record as bytes."""
    key, number, uid, gid, kind, payload = record
    return key + _END + _FACTS.pack(number, uid, gid, kind) + payload


def unpack(octets: bytes) -> Record:
    """Return the record that `pack` was given."""
    end = octets.index(_END)
    number, uid, gid, kind = _FACTS.unpack_from(octets, end + 2)
    return Record(octets[:end], number, uid, gid, MemberKind(kind), octets[end + 2 + _FACTS.size :])


class Path(NamedTuple):
    """All members of one name.

    Attributes:
        key: the name, as `key_of` has it.
        last: the member that counts.
        first: the one that came first.
        file: the last one that is not a hard link, if one is not.
        kinds: how many there are in either sense: directory, and anything else.
    """

    key: bytes
    last: Record
    first: Record
    file: Record | None
    kinds: int


def grouped(ordered: Iterable[bytes]) -> Iterator[Path]:
    """Yield the paths of records that are in order; a name may come any number of times."""
    for key, records in groupby(map(unpack, ordered), itemgetter(0)):
        first = last = file = None
        kinds = 1
        for record in records:
            if first is None or last is None:
                first = record
            elif (record.kind is MemberKind.DIRECTORY) is not (last.kind is MemberKind.DIRECTORY):
                kinds = 2
            last = record
            if record.kind is MemberKind.FILE:
                file = record
        assert first is not None  # noqa: S101 - a group has members
        assert last is not None  # noqa: S101
        yield Path(key, last, first, file, kinds)


def pack_request(target: bytes, number: int, path: bytes) -> bytes:
    """Return bytes that sort with the records of `target`, which the link `path` asks for."""
    return target + _END + number.to_bytes(8, "big") + path


def unpack_request(octets: bytes) -> tuple[bytes, int, bytes]:
    """Return what `pack_request` was given."""
    end = octets.index(_END)
    number = int.from_bytes(octets[end + 2 : end + 10], "big")
    return octets[:end], number, octets[end + 10 :]
