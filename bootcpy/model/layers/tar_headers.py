"""The headers of a tar: ustar, GNU and PAX, as Go's archive/tar (so skopeo and podman) reads them.

Pure: blocks in, members out. Python's tarfile is not used, since what it does with a malformed
header differs between its versions, and its time and memory follow what a header claims.
"""

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bootcpy.model.layers.limits import (
    PAX_RECORDS,
    SPARSE_EXTENTS,
    not_a_tar,
    require_owner,
    require_size,
    shown,
)

BLOCK_BYTES: Final = 512
LONG_NAME: Final = b"L"
LONG_LINK: Final = b"K"
PAX: Final = b"x"
PAX_GLOBAL: Final = b"g"
GNU_SPARSE: Final = b"S"
EXTENDED: Final = frozenset({LONG_NAME, LONG_LINK, PAX, b"X", PAX_GLOBAL})
REGULAR: Final = b"0"
HARD_LINK: Final = b"1"
SYMBOLIC_LINK: Final = b"2"
CHARACTER_DEVICE: Final = b"3"
BLOCK_DEVICE: Final = b"4"
DIRECTORY: Final = b"5"
FIFO: Final = b"6"
_WITHOUT_CONTENT: Final = frozenset({
    HARD_LINK,
    SYMBOLIC_LINK,
    CHARACTER_DEVICE,
    BLOCK_DEVICE,
    DIRECTORY,
    FIFO,
})
_OLD_REGULAR: Final = b"\0"  # a directory where the name ends in a slash
_CONTIGUOUS: Final = b"7"
XATTR_PREFIX: Final = "SCHILY.xattr."

_FIELDS: Final = struct.Struct("100s8s8s8s12s12s8sc100s6s2s80s155s12s")
_CHECKSUM_AT: Final = slice(148, 156)
_POSIX_MAGIC: Final = b"ustar\0"
_STAR_TRAILER: Final = b"tar\0"
_STAR_PREFIX_BYTES: Final = 131
_OCTAL: Final = re.compile(rb" *([0-7]*) *")
_NUMBER: Final = re.compile(r"[0-9]{1,20}", re.ASCII)
_TIME: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]*)?", re.ASCII)
_LENGTH_DIGITS: Final = 8

Extents = tuple[tuple[int, int], ...]


class TarMember:
    """A member: what its headers say together.

    Attributes:
        kind: the type flag, with the several ways to say "regular file" made one.
        size: of the file; of a sparse one with its holes.
        stored_size: of what follows the header in the tar.
        mtime: whether there is one that is not zero.
        xattrs: by name, in the order of the names.
        extents: of a sparse file, where its stored parts go: offset and length.
        map_in_content: whether the content begins with the extents.
    """

    __slots__ = (
        "extents",
        "gid",
        "kind",
        "linkname",
        "map_in_content",
        "mode",
        "mtime",
        "name",
        "size",
        "stored_size",
        "uid",
        "xattrs",
    )

    def __init__(self, name: str, kind: bytes) -> None:
        """Begin with what every member has."""
        self.name = name
        self.kind = kind
        self.linkname = ""
        self.mode = self.uid = self.gid = 0
        self.size = self.stored_size = 0
        self.mtime = False
        self.xattrs: tuple[tuple[bytes, bytes], ...] = ()
        self.extents: Extents | None = None
        self.map_in_content = False

    def isreg(self) -> bool:
        """Tell whether it is a regular file."""
        return self.kind == REGULAR

    def isdir(self) -> bool:
        """Tell whether it is a directory."""
        return self.kind == DIRECTORY

    def issym(self) -> bool:
        """Tell whether it is a symbolic link."""
        return self.kind == SYMBOLIC_LINK

    def islnk(self) -> bool:
        """Tell whether it is a hard link."""
        return self.kind == HARD_LINK


def text(octets: bytes) -> str:
    """Return a name; bytes that are not UTF-8 become what `require_utf8` will find."""
    return octets.decode("utf-8", "surrogateescape")


def until_nul(field: bytes) -> bytes:
    """Return a field without what pads it."""
    return field.partition(b"\0")[0]


def parse_header(block: bytes) -> TarMember:
    """Return the member that one header block describes, before extended headers change it.

    Raises:
        ImageContentError: it is no header.
    """
    claimed, field = _number(block[_CHECKSUM_AT]), block[_CHECKSUM_AT]
    found = sum(block) - sum(field) + 8 * ord(" ")
    # Some writers of old counted bytes from 128 on as negative.
    if claimed not in {found, found - 256 * _high_bytes(block) + 256 * _high_bytes(field)}:
        raise not_a_tar("a header has a wrong checksum")
    name, mode, uid, gid, size, mtime, _, kind, link, magic, _, _, prefix, tail = _FIELDS.unpack(
        block
    )
    name = until_nul(name)
    if magic == _POSIX_MAGIC and prefix[0]:
        if tail[8:] == _STAR_TRAILER:
            prefix = prefix[:_STAR_PREFIX_BYTES]
        name = until_nul(prefix) + b"/" + name
    member = TarMember(text(name), REGULAR if kind == _CONTIGUOUS else kind)
    member.linkname = text(until_nul(link))
    member.mode = _number(mode) & 0o7777
    member.uid, member.gid = _number(uid), _number(gid)
    member.size = member.stored_size = _number(size)
    member.mtime = _number(mtime) != 0
    return member


def _high_bytes(octets: bytes) -> int:
    return 0 if octets.isascii() else sum(byte > 0x7F for byte in octets)  # noqa: PLR2004


def _number(field: bytes) -> int:
    """Return a number: octal digits, or GNU's binary form."""
    first = field[0]
    if first & 0x80:
        # Two's complement, but for the mark in the highest bit.
        value = int.from_bytes(field, "big", signed=True)
        return value if first & 0x40 else value + (1 << (8 * len(field) - 1))
    digits = _OCTAL.fullmatch(field.strip(b" \0").partition(b"\0")[0])
    if digits is None:
        raise not_a_tar(f"a header has {field!r} for a number")
    return int(digits[1] or b"0", 8)


def finish(
    member: TarMember, records: Mapping[str, str], long_name: str | None, long_link: str | None
) -> None:
    """Let what the extended headers say count, and refuse what no file can be.

    Raises:
        ImageContentError: a record is malformed, or the owner or size is out of range.
    """
    if records:
        _apply(member, records)
    if long_name is not None:
        member.name = long_name
    if long_link is not None:
        member.linkname = long_link
    if member.kind == _OLD_REGULAR:
        member.kind = DIRECTORY if member.name.endswith("/") else REGULAR
    if member.kind in _WITHOUT_CONTENT:
        member.size = member.stored_size = 0
    require_owner(member.name, member.uid, member.gid)
    require_size(member.name, member.size)
    require_size(member.name, member.stored_size)


def _apply(member: TarMember, records: Mapping[str, str]) -> None:
    member.name = records.get("path") or member.name
    member.linkname = records.get("linkpath") or member.linkname
    for key in ("uid", "gid"):
        if value := records.get(key):
            setattr(member, key, _decimal(key, value))
    if value := records.get("size"):
        member.size = member.stored_size = _decimal("size", value)
    if value := records.get("mtime"):
        if _TIME.fullmatch(value) is None:
            raise not_a_tar(f"a PAX header has the mtime {shown(value)}")
        member.mtime = float(value) != 0
    member.xattrs = tuple(
        sorted(
            (_xattr_name(key), value.encode(errors="surrogateescape"))
            for key, value in records.items()
            if key.startswith(XATTR_PREFIX)
        )
    )
    if any(key.startswith("GNU.sparse.") for key in records):
        _apply_sparse(member, records)


def _xattr_name(key: str) -> bytes:
    return key.removeprefix(XATTR_PREFIX).encode()


def _decimal(what: str, value: str) -> int:
    if _NUMBER.fullmatch(value) is None:
        raise not_a_tar(f"a PAX header has the {what} {shown(value)}")
    return int(value)


def parse_pax(octets: bytes) -> dict[str, str]:
    """Return the records of a PAX header: `LENGTH KEY=VALUE` and a newline each.

    The first form of GNU's sparse maps repeats two keys; they are made the second form.

    Raises:
        ImageContentError: it is malformed.
    """
    found: dict[str, str] = {}
    extents: list[str] = []
    place = count = 0
    while place < len(octets) and octets[place]:
        blank = octets.find(b" ", place, place + _LENGTH_DIGITS + 1)
        digits = octets[place:blank] if blank > place else b""
        end = place + int(digits) if digits.isdigit() else 0
        if not blank < end <= len(octets) or octets[end - 1] != ord("\n"):
            raise not_a_tar("a PAX header has a record with a wrong length")
        raw_key, equals, value = octets[blank + 1 : end - 1].partition(b"=")
        place, count = end, count + 1
        if not raw_key or not equals or count > PAX_RECORDS:
            raise not_a_tar("a PAX header has too many records, or one without a key")
        try:
            key = raw_key.decode()
        except UnicodeDecodeError as e:
            raise not_a_tar(f"a PAX header has the key {shown(text(raw_key))}, not UTF-8") from e
        if key in {"GNU.sparse.offset", "GNU.sparse.numbytes"}:
            extents.append(text(value))
        else:
            found[key] = text(value)
    if extents:
        found["GNU.sparse.map"] = ",".join(extents)
    return found


# ---------------------------------------------------------------------------------- sparse files


def _apply_sparse(member: TarMember, records: Mapping[str, str]) -> None:
    size = records.get("GNU.sparse.realsize") or records.get("GNU.sparse.size")
    member.name = records.get("GNU.sparse.name") or member.name
    if "GNU.sparse.map" in records:
        listed = records["GNU.sparse.map"]
        if listed.count(",") >= 2 * SPARSE_EXTENTS:
            raise not_a_tar(f"{shown(member.name)} has too many parts")
        numbers = [_decimal("sparse map", number) for number in listed.split(",") if listed]
        member.size = _decimal("sparse size", size or "")
        member.extents = checked_extents(member, numbers)
    elif records.get("GNU.sparse.major") == "1" and records.get("GNU.sparse.minor") == "0":
        member.size = _decimal("sparse size", size or "")
        member.map_in_content = True
    elif size is not None:
        raise not_a_tar(f"{shown(member.name)} is a sparse file without a map")


def checked_extents(member: TarMember, numbers: Sequence[int]) -> Extents:
    """Return the extents of a sparse file from their offsets and lengths.

    Raises:
        ImageContentError: they overlap, are out of order, go beyond the file's end, or are
            not as long together as what the tar has of the file.
    """
    if len(numbers) % 2:
        raise not_a_tar(f"the sparse file {shown(member.name)} has half a part")
    extents = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    place = stored = 0
    for offset, length in extents:
        if offset < place or length < 0:
            raise not_a_tar(f"the parts of the sparse file {shown(member.name)} overlap")
        place, stored = offset + length, stored + length
    if place > member.size or stored != member.stored_size:
        raise not_a_tar(f"the parts of the sparse file {shown(member.name)} do not have its size")
    return extents


def parse_gnu_sparse(block: bytes) -> tuple[list[int], bool, int]:
    """Return what the header of GNU's own form holds: numbers, whether more follow, the size.

    Raises:
        ImageContentError: a number is malformed.
    """
    return _gnu_numbers(block[386:482]), bool(block[482]), _number(block[483:495])


def parse_gnu_sparse_extension(block: bytes) -> tuple[list[int], bool]:
    """Return the numbers of a block after such a header, and whether another follows.

    Raises:
        ImageContentError: a number is malformed.
    """
    return _gnu_numbers(block[:504]), bool(block[504])


def _gnu_numbers(octets: bytes) -> list[int]:
    numbers: list[int] = []
    for at in range(0, len(octets), 24):
        if not octets[at]:
            break
        numbers += [_number(octets[at : at + 12]), _number(octets[at + 12 : at + 24])]
    return numbers


def parse_map_lines(lines: Iterable[bytes]) -> list[int]:
    """Return the numbers of a map that content begins with: their pairs' count, then they.

    `lines` is read no further than the map goes.

    Raises:
        ImageContentError: a number is malformed, or there are too many.
    """
    source = iter(lines)
    count = _map_number(next(source, b""))
    if count > SPARSE_EXTENTS:
        raise not_a_tar("a sparse file has too many parts")
    return [_map_number(next(source, b"")) for _ in range(2 * count)]


def _map_number(line: bytes) -> int:
    try:
        return _decimal("sparse map", line.decode("ascii"))
    except UnicodeDecodeError as e:
        raise not_a_tar("a sparse file has a malformed map") from e
