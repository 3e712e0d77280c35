"""Layers whose compression is odd: framing, trailers, bombs, ends."""

import bz2
import gzip
import lzma
import subprocess
import zlib
from operator import attrgetter

import pytest

from tests.hostile.ground import Ground, Row, switch
from tests.hostile.images import BASE, LAYER, MIB, Blob, Layout
from tests.layers import file, noise, sha256, tar

_TAR = tar(file("usr/a", noise(1, 200_000)))
_GZIP = gzip.compress(_TAR, mtime=0)
_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
_PLAIN = "application/vnd.oci.image.layer.v1.tar"
_A = {"usr/a": "-00644 0 0 200000"}
_CORRUPT = "layer sha256:[0-9a-f]{64}: the layer is corrupt: "
_BROKEN = "the layer is (corrupt|truncated|not a valid tar)"


def _zstd(content: bytes, *options: str) -> bytes:
    done = subprocess.run(["zstd", "-qc", *options], input=content, check=True, capture_output=True)
    return done.stdout


def _row(
    name: str, content: bytes, refused: str = "", *, media_type: str = LAYER, once: str = ""
) -> Row:
    blob = Blob(content, sha256(_TAR), media_type=media_type)
    tree = {} if refused else _A
    words = switch(Layout((BASE, blob)))
    return Row(id=name, words=words, refused=refused, tree=tree, once=once)


def _flipped(content: bytes, position: int) -> bytes:
    changed = bytearray(content)
    changed[position] ^= 0xFF
    return bytes(changed)


def _gzip_head(flags: int, extra: bytes = b"") -> bytes:
    return b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + extra + _GZIP[10:]


_HALF = len(_TAR) // 2
_ZSTD_FRAME = _zstd(_TAR)
_SKIPPABLE = b"\x50\x2a\x4d\x18\x04\0\0\0junk"
_ZEROS = bytes(64 * MIB)

ROWS = [
    _row("gzip", _GZIP),
    _row("gzip-no-compression", gzip.compress(_TAR, 0, mtime=0)),
    _row("gzip-two-members", gzip.compress(_TAR[:_HALF]) + gzip.compress(_TAR[_HALF:])),
    _row("gzip-empty-members", gzip.compress(b"") * 50 + _GZIP + gzip.compress(b"") * 50),
    _row(
        "gzip-many-members",
        b"".join(gzip.compress(_TAR[at : at + 100], 1) for at in range(0, len(_TAR), 100)),
    ),
    _row("gzip-zeros-after", _GZIP + bytes(5000)),
    _row("gzip-garbage-after", _GZIP + b"garbage", _BROKEN),
    _row("gzip-tar-after", _GZIP + _TAR, _BROKEN),
    _row("gzip-another-after", _GZIP + _GZIP, "diff_id|garbage after its members"),
    _row("gzip-name-and-comment", _gzip_head(0x18, b"name\0\x1b[31mcomment\0")),
    _row("gzip-extra", _gzip_head(0x04, b"\x04\0junk")),
    _row("gzip-extra-endless", _gzip_head(0x04, b"\xff\xff")[:2000], _BROKEN),
    _row("gzip-header-checksum-wrong", _gzip_head(0x02, b"\0\0"), _BROKEN),
    _row("gzip-flags-reserved", _gzip_head(0xE0), _BROKEN),
    _row("gzip-method-odd", b"\x1f\x8b\x07" + _GZIP[3:], _BROKEN),
    _row("gzip-magic-only", b"\x1f\x8b", _BROKEN),
    _row("gzip-header-only", _GZIP[:10], _BROKEN),
    _row("gzip-half", _GZIP[: len(_GZIP) // 2], _BROKEN),
    _row("gzip-without-trailer", _GZIP[:-8], _BROKEN),
    _row("gzip-trailer-cut", _GZIP[:-1], _BROKEN),
    _row("gzip-checksum-wrong", _flipped(_GZIP, -8), _BROKEN),
    _row("gzip-length-wrong", _flipped(_GZIP, -4), _BROKEN),
    _row("gzip-flipped", _flipped(_GZIP, len(_GZIP) // 2), _BROKEN),
    _row("gzip-in-gzip", gzip.compress(_GZIP), _BROKEN),
    _row("gzip-empty", gzip.compress(b""), "diff_id"),
    _row("gzip-of-zeros", gzip.compress(_ZEROS), "diff_id|garbage"),
    _row("gzip-bomb-in-file", gzip.compress(tar(file("usr/a", _ZEROS))), "diff_id"),
    _row("gzip-bomb-after-end", gzip.compress(_TAR + _ZEROS), "diff_id"),
    _row("zlib", zlib.compress(_TAR), _BROKEN),
    _row("bzip2", bz2.compress(_TAR), _BROKEN),
    _row("xz", lzma.compress(_TAR), _BROKEN),
    _row("zip", b"PK\x03\x04" + _GZIP, _BROKEN),
    _row("plain", _TAR, media_type=_PLAIN),
    _row("plain-called-gzip", _TAR),
    _row("gzip-called-plain", _GZIP, media_type=_PLAIN),
    _row("gzip-called-zstd", _GZIP, media_type=_ZSTD),
    _row("zstd", _ZSTD_FRAME, media_type=_ZSTD),
    _row("zstd-called-gzip", _ZSTD_FRAME),
    _row("zstd-two-frames", _zstd(_TAR[:_HALF]) + _zstd(_TAR[_HALF:]), media_type=_ZSTD),
    _row("zstd-skippable-first", _SKIPPABLE + _ZSTD_FRAME, _BROKEN, media_type=_ZSTD),
    _row("zstd-skippable-after", _ZSTD_FRAME + _SKIPPABLE, media_type=_ZSTD),
    _row("zstd-magic-only", b"\x28\xb5\x2f\xfd", _BROKEN, media_type=_ZSTD),
    _row("zstd-two-bytes", b"\x28\xb5", _BROKEN, media_type=_ZSTD),
    _row("zstd-half", _ZSTD_FRAME[: len(_ZSTD_FRAME) // 2], _BROKEN, media_type=_ZSTD),
    _row("zstd-cut", _ZSTD_FRAME[:-1], _BROKEN, media_type=_ZSTD),
    _row("zstd-garbage-after", _ZSTD_FRAME + b"garbage", _BROKEN, media_type=_ZSTD),
    _row("zstd-flipped", _flipped(_zstd(_TAR, "--check"), -2), _BROKEN, media_type=_ZSTD),
    _row("zstd-another-after", _ZSTD_FRAME + _ZSTD_FRAME, "diff_id|garbage", media_type=_ZSTD),
    _row("zstd-dictionary", b"\x28\xb5\x2f\xfd\x03\xff\xff\xff\xff" + b"x" * 99, _BROKEN),
    _row("zstd-window-2-GiB", b"\x28\xb5\x2f\xfd\x00\xa8" + b"\x01\0\0", _BROKEN),
    _row("zstd-of-zeros", _zstd(_ZEROS), "diff_id|garbage", media_type=_ZSTD),
    _row("zstd-bomb", _zstd(tar(file("usr/a", _ZEROS))), "diff_id", media_type=_ZSTD),
    _row("zstd-long-window", _zstd(_TAR, "--long=31", "--ultra", "-3"), _BROKEN, media_type=_ZSTD),
    _row("media-type-absent", _GZIP, media_type=""),
    _row("media-type-odd", _GZIP, media_type="image/png"),
    _row("media-type-escape", _GZIP, media_type="\x1b[31mx"),
    _row("encrypted", _GZIP, media_type=f"{LAYER}+encrypted"),
]


@pytest.mark.parametrize("row", ROWS, ids=attrgetter("id"))
def test_compression(ground: Ground, row: Row) -> None:
    ground.check(row)
