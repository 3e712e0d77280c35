"""Odd initramfs images: their archives, and what these are packed in."""

import bz2
import gzip
import lzma
import subprocess
from operator import attrgetter

import pytest

from tests.hostile.ground import Ground, Row, switch
from tests.hostile.images import KERNEL, MIB, PREPARE_ROOT, Layout, layer, tree
from tests.system.support.disks import initramfs

_GOOD = initramfs(PREPARE_ROOT)
_OTHER = initramfs("usr/bin/other")
_LACKS = "lacks ostree-prepare-root"
_DAMAGED = "initramfs"


def _row(name: str, content: bytes, refused: str = "", once: str = "") -> Row:
    made = layer(*tree({f"{KERNEL}/initramfs.img": content}))
    return Row(id=name, words=switch(Layout((made,))), refused=refused, once=once)


def _member(name: bytes = b"x", content: bytes = b"", **fields: int | bytes) -> bytes:
    """Return a member of an archive; `fields` are written instead of what they should be."""
    padded = name + b"\0"
    values: dict[str, int | bytes] = dict.fromkeys(
        (
            "ino",
            "mode",
            "uid",
            "gid",
            "nlink",
            "mtime",
            "filesize",
            "maj",
            "min",
            "rmaj",
            "rmin",
            "namesize",
            "check",
        ),
        0,
    )
    values |= {"filesize": len(content), "namesize": len(padded), **fields}
    head = b"070701" + b"".join(v if isinstance(v, bytes) else b"%08x" % v for v in values.values())
    head += padded
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)


_TRAILER = _member(b"TRAILER!!!")


def _compressed(program: str, content: bytes) -> bytes:
    done = subprocess.run([program, "-qc"], input=content, check=True, capture_output=True)
    return done.stdout


_CLAIMS = _member(b"x", namesize=0x7FFFFFFF) + bytes(4 * MIB)

ROWS = [
    _row("good", _GOOD),
    _row("other", _OTHER, _LACKS),
    _row("empty", b"", _LACKS),
    _row("zeros", bytes(5000), _LACKS),
    _row("text", b"not an initramfs", _DAMAGED),
    _row("one-byte", b"0", _DAMAGED),
    _row("magic-only", b"070701", _DAMAGED),
    _row("header-only", _GOOD[:110], _DAMAGED),
    _row("cut-in-name", _GOOD[:115], _DAMAGED),
    _row("no-trailer", _member(b"x"), _DAMAGED),
    _row("old-cpio", b"070707" + _GOOD[6:], _DAMAGED),
    _row("crc-cpio", b"070702" + _GOOD[6:]),
    _row("hex-odd", _member(filesize=b"zzzzzzzz") + _TRAILER, _DAMAGED),
    _row("hex-negative", _member(filesize=b"-0000001") + _TRAILER, _DAMAGED),
    _row("hex-plus", _member(namesize=b"+0000002") + _TRAILER, _DAMAGED),
    _row("hex-underscore", _member(namesize=b"0_000002") + _TRAILER, _DAMAGED),
    _row("hex-blank", _member(namesize=b"       2") + _TRAILER, _DAMAGED),
    _row("name-size-zero", _member(namesize=0) + _TRAILER, _DAMAGED),
    _row("name-size-huge", _CLAIMS, _DAMAGED, "600 MB"),
    _row("name-size-5000", _member(b"n" * 5000) + _TRAILER, _DAMAGED),
    _row("name-not-utf8", _member(b"\xff\xfe") + _GOOD),
    _row("name-escape", _member(b"\x1b[31m") + _OTHER, _LACKS),
    _row("name-dot-dot", _member(b"../../" + PREPARE_ROOT.encode()) + _TRAILER, _LACKS),
    _row("name-absolute", _member(b"/" + PREPARE_ROOT.encode()) + _TRAILER),
    _row("file-size-huge", _member(filesize=0xFFFFFFFF) + bytes(4 * MIB), _DAMAGED),
    _row("members-20000", _member() * 20_000 + _GOOD),
    _row("archives-5000", _OTHER * 5000 + _GOOD),
    _row("padding-2-MiB", bytes(2 * MIB) + _GOOD),
    _row("microcode-then-gzip", _OTHER + gzip.compress(_GOOD)),
    _row("microcode-then-text", _OTHER + b"text", _DAMAGED),
    _row("gzip", gzip.compress(_GOOD)),
    _row("gzip-magic", b"\x1f\x8b", _DAMAGED),
    _row("gzip-cut", gzip.compress(_OTHER)[:-12], _DAMAGED),
    _row("gzip-garbage-after", gzip.compress(_OTHER) + b"garbage", "."),
    _row("gzip-claims", gzip.compress(_CLAIMS), _DAMAGED, "600 MB"),
    _row("gzip-bomb", gzip.compress(bytes(200 * MIB)), "."),
    _row("gzip-bomb-in-member", gzip.compress(_member(content=bytes(100 * MIB)) + _OTHER), _LACKS),
    _row("gzip-in-gzip", gzip.compress(gzip.compress(_GOOD)), _DAMAGED),
    _row("xz", lzma.compress(_GOOD)),
    _row("xz-cut", lzma.compress(_OTHER)[:-20], _DAMAGED),
    _row("xz-claims", lzma.compress(_CLAIMS, preset=0), _DAMAGED),
    _row("xz-dictionary-1.5-GiB", b"\xfd7zXZ\0\0\4\xe6\xd6\xb4F\2\0!\1\x27" + bytes(300), _DAMAGED),
    _row("bzip2", bz2.compress(_GOOD)),
    _row("bzip2-cut", bz2.compress(_OTHER)[:-9], _DAMAGED),
    _row("bzip2-flipped", b"BZh9" + b"\xff" * 200, _DAMAGED),
    _row("zstd", _compressed("zstd", _GOOD)),
    _row("zstd-cut", _compressed("zstd", _OTHER)[:-5], _DAMAGED),
    _row("zstd-magic", b"\x28\xb5\x2f\xfd", _DAMAGED),
    _row("zstd-claims", _compressed("zstd", _CLAIMS), _DAMAGED),
    _row("zstd-bomb", _compressed("zstd", bytes(200 * MIB)), "."),
    _row("zstd-window-2-GiB", b"\x28\xb5\x2f\xfd\0\xa8\1\0\0", _DAMAGED),
    _row("lz4-magic", b"\x02\x21\x4c\x18", "initramfs|lz4"),
    _row("lzop", b"\x89LZO\0\r\n", _DAMAGED),
]


@pytest.mark.parametrize("row", ROWS, ids=attrgetter("id"))
def test_boot_files(ground: Ground, row: Row) -> None:
    ground.check(row)
