"""Layers whose tar is odd itself: headers, extensions, sparse files, where it ends."""

from operator import attrgetter

import pytest

from tests.hostile.ground import Ground, Row, switch
from tests.hostile.images import BASE, MIB, Layout, of_tar
from tests.hostile.tars import (
    AFTER,
    BLOCK,
    END,
    entry,
    header,
    longname,
    numeral,
    padded,
    pax,
    record,
    whole,
)
from tests.layers import file, noise, tar

_INVALID = "layer sha256:[0-9a-f]{64}: the layer is not a valid tar archive"
_BROKEN = "the layer is (not a valid tar archive|corrupt|truncated)|claims to have"
_PAYLOAD = tar(file("usr/a", noise(1, 5000)), file("usr/b", b"2"))


def _row(name: str, archive: bytes, refused: str = "", once: str = "", **tree: str | None) -> Row:
    found = {f"usr/{key}": value for key, value in tree.items()}
    words = switch(Layout((BASE, of_tar(archive))))
    return Row(id=name, words=words, refused=refused, tree=found, once=once)


def _flipped(position: int) -> bytes:
    archive = bytearray(_PAYLOAD)
    archive[position] ^= 0xFF
    return bytes(archive)


_HEADERS = [
    _row("text", b"not a tar" * 300, _INVALID),
    _row("one-byte", b"x", _BROKEN),
    _row("one-zero", b"\0", _BROKEN),
    _row("511-zeros", bytes(511), _BROKEN),
    _row("one-block-of-zeros", bytes(BLOCK)),
    _row("a-mebibyte-of-zeros", bytes(MIB)),
    _row("checksum-wrong", whole(header(chksum=b"000000\0 ")), _INVALID),
    _row("checksum-no-number", whole(header(chksum=b"zzzzzzzz")), _INVALID),
    _row("checksum-of-second", _flipped(512 + 5120 + 20), _BROKEN),
    _row("size-negative", whole(header(size=numeral(-512, 12))), _BROKEN),
    _row("size-no-number", whole(header(size=b"zzzz")), _INVALID),
    _row("size-beyond-end", whole(header(size=b"%011o\0" % (1 << 30))), _BROKEN),
    _row("size-2^63", whole(header(size=numeral(1 << 63, 12))), _BROKEN),
    _row("size-2^87", whole(header(size=numeral(1 << 87, 12))), _BROKEN),
    _row("size-of-directory", whole(header("usr/d", size=b"%011o\0" % 512, type=b"5"), AFTER)),
    _row("size-of-link", whole(header(size=b"%011o\0" % 512, type=b"2", linkname=b"x"), AFTER)),
    _row("old-format", whole(entry(content=b"x", rest=bytes(255))), raw="-00644 0 0 1"),
    _row("other-magic", whole(entry(content=b"x", magic=b"nothing!")), raw="-00644 0 0 1"),
    _row("prefix", whole(entry("x", b"x", prefix=b"usr/p")), **{"p/x": "-00644 0 0 1"}),
    _row("prefix-dot-dot", whole(entry("x", b"x", prefix=b"../..")), "leaves the tree"),
    _row("name-without-end", whole(entry("u" * 100, b"x"))),
    _row("user-name", whole(entry(uname=b"\xff\xfe\x1b[31m", gname=b"root\n"))),
    _row("device-numbers", whole(entry(type=b"3", devmajor=b"zzz")), "."),
    _row("garbage-after-end", whole(entry()) + b"garbage" * 200, _BROKEN),
    _row("second-tar-after-end", whole(entry()) + _PAYLOAD, _BROKEN),
    _row("garbage-for-header", entry() + b"x" * BLOCK, _BROKEN),
    _row("garbage-byte-for-header", entry() + b"x", _BROKEN),
]

_PAX = [
    _row("pax-empty", whole(pax(b""), entry(content=b"x")), raw="-00644 0 0 1"),
    _row("pax-alone", whole(pax({"path": "usr/a"})), "."),
    _row("pax-length-large", whole(pax(b"99999 path=usr/a\n"), entry()), "."),
    _row("pax-length-zero", whole(pax(b"0 path=usr/a\n"), entry()), "."),
    _row("pax-length-negative", whole(pax(b"-5 path=usr/a\n"), entry()), "."),
    _row("pax-length-word", whole(pax(b"x path=usr/a\n"), entry()), "."),
    _row("pax-length-digits", whole(pax(b"1" * 5000 + b" path=usr/a\n"), entry()), "."),
    _row("pax-without-equals", whole(pax(b"12 pathusr/a\n"), entry()), "."),
    _row("pax-path", whole(pax({"path": "usr/p"}), entry(content=b"x")), p="-00644 0 0 1"),
    _row("pax-path-dot-dot", whole(pax({"path": "../x"}), entry()), "leaves the tree"),
    _row("pax-path-empty", whole(pax({"path": ""}), entry())),
    _row("pax-path-nul", whole(pax({"path": "usr/a\0b"}), entry()), "."),
    _row("pax-path-not-utf8", whole(pax(record("path", b"usr/\xff")), entry()), "not UTF-8"),
    _row("pax-path-long", whole(pax({"path": "usr/" + "x/" * 60_000}), entry()), "deeper than"),
    _row("pax-linkpath", whole(pax({"linkpath": "../x"}), entry(type=b"1")), "leaves the tree"),
    _row(
        "pax-size-wins",
        whole(pax({"size": "2"}), entry(content=b"xx", size=b"0")),
        raw="-00644 0 0 2",
    ),
    _row("pax-size-beyond", whole(pax({"size": "99999"}), entry(content=b"xx")), _BROKEN),
    _row("pax-size-negative", whole(pax({"size": "-1"}), entry()), "."),
    _row("pax-size-word", whole(pax({"size": "x"}), entry()), "."),
    _row("pax-size-huge", whole(pax({"size": "9" * 30}), entry()), _BROKEN),
    _row("pax-mtime-nan", whole(pax({"mtime": "nan"}), entry()), "mtime"),
    _row("pax-mtime-inf", whole(pax({"mtime": "inf"}), entry()), "mtime"),
    _row("pax-mtime-huge", whole(pax({"mtime": "1e400"}), entry()), "mtime"),
    _row("pax-charset-binary", whole(pax({"hdrcharset": "BINARY", "path": "usr/a"}), entry())),
    _row("pax-charset-odd", whole(pax({"hdrcharset": "klingon", "path": "usr/a"}), entry())),
    _row("pax-key-odd", whole(pax({"\x1b[31m": "x", "é": "x"}), entry())),
    _row("pax-key-not-utf8", whole(pax(record(b"\xff", b"x")), entry()), "not UTF-8"),
    _row(
        "pax-many-records",
        whole(pax({f"a{n}": "x" for n in range(20_000)}), entry()),
        "too many records",
    ),
    _row(
        "pax-9-MiB",
        whole(pax(record("comment", b"x" * (9 * MIB))), entry()),
        "header claims",
    ),
    _row("pax-7-MiB", whole(pax(record("comment", b"x" * (7 * MIB))), entry()), "header claims"),
    _row("pax-claims-40-GiB", whole(header(type=b"x", size=numeral(40 << 30, 12))), "claims to"),
    _row("pax-global", whole(pax({"comment": "x"}, b"g"), entry(content=b"x")), raw="-00644 0 0 1"),
    _row("pax-global-path", whole(pax({"path": "usr/g"}, b"g"), entry()), raw="-00644 0 0 0"),
    _row(
        "pax-global-size",
        whole(pax({"size": "99"}, b"g"), entry(), AFTER),
        raw="-00644 0 0 0",
        after="-00644 0 0 1",
    ),
    _row("pax-global-not-utf8", whole(pax(record(b"\xff", b"\xff"), b"g"), entry()), "not UTF-8"),
    _row("pax-global-claims", whole(header(type=b"g", size=numeral(40 << 30, 12))), "claims to"),
    _row(
        "pax-global-many",
        whole(*(pax({f"k{n}": "x" * 100}, b"g") for n in range(2000)), entry()),
        "extended headers",
    ),
    _row(
        "pax-chain",
        whole(*[pax({"comment": "x"})] * 50_000, entry()),
        ".",
        once="a traceback: RecursionError",
    ),
    _row("pax-chain-short", whole(pax({"a": "x"}), pax({"path": "usr/a"}), entry())),
    _row("pax-solaris", whole(pax({"path": "usr/s"}, b"X"), entry()), s="-00644 0 0 0"),
    _row("pax-then-longname", whole(pax({"path": "usr/p"}), longname(b"usr/l"), entry())),
]

_LONG_NAMES = [
    _row("longname", whole(longname(b"usr/long"), entry()), long="-00644 0 0 0"),
    _row("longname-empty", whole(longname(b""), entry()), raw="-00644 0 0 0"),
    _row("longname-dot-dot", whole(longname(b"../x"), entry()), "leaves the tree"),
    _row("longname-not-utf8", whole(longname(b"usr/\xff"), entry()), "not UTF-8"),
    _row("longname-alone", whole(longname(b"usr/x")), "."),
    _row("longname-claims-40-GiB", whole(header(type=b"L", size=numeral(40 << 30, 12))), "claims"),
    _row("longlink-claims-40-GiB", whole(header(type=b"K", size=numeral(40 << 30, 12))), "claims"),
    _row("longlink-dot-dot", whole(longname(b"../x", b"K"), entry(type=b"1")), "leaves the tree"),
    _row("longlink-huge", whole(longname(b"x" * MIB, b"K"), entry(type=b"2")), "."),
    _row(
        "longname-chain",
        whole(*[longname(b"usr/x")] * 5000, entry()),
        ".",
        once="a traceback: RecursionError",
    ),
    _row("longname-twice", whole(longname(b"usr/x"), longname(b"usr/y"), entry())),
]


def _sparse_old(*pairs: tuple[int, int], size: int, extended: bool = False) -> bytes:
    """Return a header of GNU's first sparse format, with up to four pieces."""
    pieces = b"".join(b"%011o\0%011o\0" % pair for pair in pairs).ljust(96, b"\0")
    claimed = b"%011o\0" % size if size < 1 << 33 else numeral(size, 12)
    rest = b"ustar  \0".ljust(129, b"\0") + pieces + bytes([extended]) + claimed
    stored = sum(length for _, length in pairs)
    return header(type=b"S", size=b"%011o\0" % stored, rest=rest)


def _sparse(**records: str) -> bytes:
    return pax({f"GNU.sparse.{key}": value for key, value in records.items()})


def _sparse_one(mapping: bytes, realsize: str = "10") -> bytes:
    """Return a file of GNU's sparse format 1.0, whose map stands before its content."""
    head = _sparse(major="1", minor="0", name="usr/s", realsize=realsize)
    return whole(head, entry(content=padded(mapping) + b"x" * 5))


_SPARSE = [
    _row("sparse-old", whole(_sparse_old((0, 5), size=10), padded(b"12345")), raw="-00644 0 0 10"),
    _row("sparse-old-backwards", whole(_sparse_old((8, 2), (0, 2), size=10), padded(b"1234")), "."),
    _row("sparse-old-overlap", whole(_sparse_old((0, 5), (2, 5), size=10), padded(bytes(10))), "."),
    _row("sparse-old-beyond", whole(_sparse_old((0, 99), size=10), padded(bytes(99))), "."),
    _row("sparse-old-ext-ends", _sparse_old((0, 5), size=10, extended=True), _BROKEN),
    _row(
        "sparse-old-2^62",
        whole(_sparse_old((0, 5), size=1 << 62), padded(b"12345")),
        ".",
        once="the layer was checked without end",
    ),
    _row("sparse-map-words", whole(_sparse(map="a,b", size="10"), entry(content=b"x")), "."),
    _row(
        "sparse-map-negative",
        whole(_sparse(map="-5,5", size="10"), entry(content=b"12345")),
        ".",
        once="a traceback: ValueError",
    ),
    _row("sparse-map-odd", whole(_sparse(map="0", size="10"), entry(content=b"12345")), "."),
    _row(
        "sparse-size-2^62",
        whole(_sparse(map="0,5", size=str(1 << 62)), entry(content=b"12345")),
        ".",
        once="the layer was checked without end",
    ),
    _row(
        "sparse-size-negative", whole(_sparse(map="0,5", size="-9"), entry(content=b"12345")), "."
    ),
    _row("sparse-1.0", _sparse_one(b"1\n0\n5\n"), s="-00644 0 0 10"),
    _row("sparse-1.0-no-map", _sparse_one(b""), "."),
    _row("sparse-1.0-count-huge", _sparse_one(b"9" * 30 + b"\n0\n5\n"), "."),
    _row("sparse-1.0-count-negative", _sparse_one(b"-1\n0\n5\n"), "."),
    _row("sparse-1.0-words", _sparse_one(b"a\nb\n"), "."),
    _row("sparse-1.0-endless-number", _sparse_one(b"1" * 100_000), "."),
    _row("sparse-1.0-2^62", _sparse_one(b"1\n0\n5\n", str(1 << 62)), "."),
    _row(
        "sparse-0.0-many",
        whole(
            pax(
                b"".join(
                    record("GNU.sparse.offset", str(n)) + record("GNU.sparse.numbytes", "1")
                    for n in range(9000)
                )
            ),
            entry(content=b"x"),
        ),
        ".",
    ),
]

_CUTS = [
    _row("cut-in-header", _PAYLOAD[:300], _BROKEN),
    _row("cut-after-header", _PAYLOAD[:512], _BROKEN),
    _row("cut-in-file", _PAYLOAD[:3000], _BROKEN),
    _row("cut-in-padding", _PAYLOAD[: 512 + 5001], _BROKEN),
    _row("cut-in-second-header", _PAYLOAD[: 512 + 5120 + 100], _BROKEN),
    _row("cut-before-end", _PAYLOAD[: 512 + 5120]),
    _row("cut-in-end", _PAYLOAD[: 512 + 5120 + 1024 + 100], "truncated"),
    _row("cut-in-pax", pax({"path": "usr/" + "x" * 900})[:1000], _BROKEN),
    _row("cut-in-longname", longname(b"usr/" + b"x" * 900)[:1000], _BROKEN),
    _row("end-twice", whole(entry()) + END),
]

_LARGE = [
    _row("members-2000", whole(*(header(f"usr/m/{n}") for n in range(2000)))),
    _row("directories-2000", whole(*(header(f"usr/m/{n}", type=b"5") for n in range(2000)))),
    _row("implicit-directories-2000", whole(*(header(f"usr/m/{n}/x") for n in range(2000)))),
    _row(
        "hard-links-2000",
        whole(
            header("usr/h"),
            *(header(f"usr/m/{n}", type=b"1", linkname=b"usr/h") for n in range(2000)),
        ),
    ),
    _row("dropped-2000", whole(*(header(f"run/{n}/x") for n in range(2000)))),
    _row("whiteouts-2000", whole(*(header(f"usr/m/.wh.{n}") for n in range(2000)))),
    _row(
        "modules-2000",
        whole(*(header(f"usr/lib/modules/{n}/vmlinuz") for n in range(2000))),
        "more than one kernel|more than 1,000",
    ),
]

ROWS = [*_HEADERS, *_PAX, *_LONG_NAMES, *_SPARSE, *_CUTS, *_LARGE]


@pytest.mark.parametrize("row", ROWS, ids=attrgetter("id"))
def test_streams(ground: Ground, row: Row) -> None:
    ground.check(row)
