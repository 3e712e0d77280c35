"""Tars made block by block, for what no library would write."""

import tarfile
from collections.abc import Mapping

from tests.layers import file, tar

BLOCK = 512
END = bytes(2 * BLOCK)
# Where a field stands in a header, and how long it is.
_FIELDS = {
    "name": (0, 100),
    "mode": (100, 8),
    "uid": (108, 8),
    "gid": (116, 8),
    "size": (124, 12),
    "mtime": (136, 12),
    "chksum": (148, 8),
    "type": (156, 1),
    "linkname": (157, 100),
    "magic": (257, 8),
    "uname": (265, 32),
    "gname": (297, 32),
    "devmajor": (329, 8),
    "devminor": (337, 8),
    "prefix": (345, 155),
    "rest": (257, 255),  # of formats before ustar, and GNU's
}


def header(name: str = "usr/raw", **fields: bytes) -> bytes:
    """Return a header whose checksum is right unless given; `fields` are written as they are."""
    info = tarfile.TarInfo(name)
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    for key, value in fields.items():
        start, length = _FIELDS[key]
        block[start : start + length] = value.ljust(length, b"\0")
    if "chksum" not in fields:
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def entry(name: str = "usr/raw", content: bytes = b"", **fields: bytes) -> bytes:
    """Return a header and the content after it, padded."""
    size = fields.pop("size", b"%011o\0" % len(content))
    return header(name, size=size, **fields) + padded(content)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)


def record(key: str | bytes, value: str | bytes) -> bytes:
    """Return one record of a PAX header."""
    raw_key = key.encode() if isinstance(key, str) else key
    raw = value.encode() if isinstance(value, str) else value
    length = len(raw_key) + len(raw) + 3
    while True:
        made = b"%d %b=%b\n" % (length, raw_key, raw)
        if len(made) == length:
            return made
        length = len(made)


def pax(records: Mapping[str, str] | bytes, kind: bytes = b"x") -> bytes:
    """Return a PAX header with these records, or with these bytes for records."""
    if not isinstance(records, bytes):
        records = b"".join(record(key, value) for key, value in records.items())
    return entry("pax", records, type=kind)


def longname(name: bytes, kind: bytes = b"L") -> bytes:
    """Return GNU's header for a name (`L`) or link target (`K`) of any length."""
    return entry("././@LongLink", name + b"\0", type=kind)


def numeral(value: int, length: int = 8) -> bytes:
    """Return a number in GNU's binary form."""
    head = b"\x80" if value >= 0 else b"\xff"
    return head + (value % (1 << 8 * (length - 1))).to_bytes(length - 1, "big")


def whole(*parts: bytes) -> bytes:
    """Return a tar of these parts, with its end."""
    return b"".join(parts) + END


AFTER = tar(file("usr/after", b"x"))[: 2 * BLOCK]  # a member that comes after the odd one
