"""Layers that are refused, and that hostile bytes end in no other way."""

import io
import os
import tarfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootcpy.errors import ImageContentError
from tests.layers import (
    Member,
    device,
    directory,
    file,
    hardlink,
    noise,
    sha256,
    symlink,
    tar,
)
from tests.refusals import refused
from tests.unit.system.layers.layer_filter import Filter, Node

_HOSTILE = "the image is malformed or hostile; do not use it"
_TMPFILES = "remove it from the image; a line in tmpfiles.d can create it at boot"
_RENAME = "rename the file in the image; ostree stores UTF-8 names only"
_CORRUPT = "the image is corrupt; pull, copy or build it again"


@pytest.fixture
def filtered(tmp_path: Path) -> Filter:
    return Filter(tmp_path)


def _bad_checksum() -> bytes:
    archive = bytearray(tar(file("usr/a", b"1"), file("usr/b", b"2")))
    archive[1024 + 20] ^= 0xFF  # in the second header
    return bytes(archive)


def _pax_record(record: bytes) -> bytes:
    """Return a tar whose PAX header holds just `record`, as it is."""
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, len(record)
    padded = record + bytes(-len(record) % 512)
    return header.tobuf(tarfile.USTAR_FORMAT) + padded + tar(file("usr/a", b"1"))


def _claiming(size: int, kind: bytes) -> bytes:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = kind, size
    return header.tobuf(tarfile.GNU_FORMAT) + bytes(512)


@pytest.mark.parametrize(
    ("members", "message", "hint"),
    [
        ((file("../usr/a"),), r"leaves the tree: '\.\./usr/a'", _HOSTILE),
        ((file("usr/../../a"),), r"leaves the tree", _HOSTILE),
        ((symlink("usr/..", "x"),), r"leaves the tree", _HOSTILE),
        ((file("usr/a"), hardlink("usr/b", "../a")), r"leaves the tree: '\.\./a'", _HOSTILE),
        ((device("usr/null"),), r"'usr/null' \(a character device\)", _TMPFILES),
        ((device("usr/sda", tarfile.BLKTYPE),), r"'usr/sda' \(a block device\)", _TMPFILES),
        ((device("usr/pipe", tarfile.FIFOTYPE),), r"'usr/pipe' \(a FIFO\)", _TMPFILES),
        (
            (hardlink("usr/b", "/etc/passwd"),),
            r"'usr/b' points to 'usr/etc/passwd', which",
            _HOSTILE,
        ),
        ((hardlink("usr/b", "usr/b"),), r"'usr/b' points to 'usr/b', which", _HOSTILE),
        (
            (hardlink("usr/b", "usr/c"), hardlink("usr/c", "usr/b")),
            r"'usr/b' points to 'usr/c', which",
            _HOSTILE,
        ),
        (
            (directory("usr/d"), hardlink("usr/b", "usr/d")),
            r"'usr/b' points to 'usr/d', which",
            _HOSTILE,
        ),
        ((file("usr/a\udcff", b"1"),), r"not UTF-8", _RENAME),
        ((symlink("usr/a", "b\udcff"),), r"not UTF-8", _RENAME),
        ((file("./", b"1"),), r"the root is something else", _HOSTILE),
        ((file("usr/a", b"1"), file("usr/a/b", b"2")), r"'usr/a' is a directory and", _HOSTILE),
        ((file("usr/a/b", b"2"), file("usr/a", b"1")), r"'usr/a' is a directory and", _HOSTILE),
        (
            (symlink("usr/a", "/etc"), file("usr/a/b", b"1")),
            r"'usr/a' is a directory and",
            _HOSTILE,
        ),
        (
            (file("x", b"1"), directory("usr/a"), hardlink("usr/a", "x")),
            r"'usr/a' is a directory and",
            _HOSTILE,
        ),
        ((file("/".join(["a"] * 1500), b"1"),), r"deeper than", _HOSTILE),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_layer_refuses_hostile_members(
    filtered: Filter, members: Sequence[Member], message: str, hint: str
) -> None:
    blob = io.BytesIO()
    with tarfile.open(
        fileobj=blob, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape"
    ) as archive:
        for member in members:
            archive.addfile(member.header, io.BytesIO(member.content))
    with refused(ImageContentError, message, hint=hint):
        filtered(blob.getvalue())


@pytest.mark.parametrize(
    "blob",
    [
        b"not a tar at all" * 100,
        b"x",
        tar(file("usr/a", bytes(5000)))[:3000],
        tar(file("usr/a", b"1"))[:700],
        tar(file("usr/a", b"1"))[:1024] + b"garbage" * 200,
        tar(file("usr/a", b"1"))[:1024] + b"x" * 512,
        tar(file("usr/a", b"1"))[:1024] + b"x",
        _bad_checksum(),
        _pax_record(b"22 GNU.sparse.map=a,b\n"),
        _claiming(40 << 30, tarfile.GNUTYPE_LONGNAME),
        _claiming(40 << 30, tarfile.XHDTYPE),
        _claiming(40 << 30, tarfile.XGLTYPE),
    ],
    ids=[
        "text",
        "one byte",
        "ends in a file",
        "ends in a block",
        "garbage after members",
        "one block of garbage",
        "one byte of garbage",
        "wrong checksum in the middle",
        "PAX sparse map no numbers",
        "name of 40 GiB",
        "PAX header of 40 GiB",
        "global PAX header of 40 GiB",
    ],
)
def test_layer_refuses_what_is_no_tar(filtered: Filter, blob: bytes) -> None:
    with refused(
        ImageContentError, r"^the layer is (not a valid tar archive|trunc)", hint=_CORRUPT
    ):
        filtered(blob)


@pytest.mark.parametrize(
    "record",
    [
        b"99999 path=usr/a\n",
        b"x path=usr/a\n",
        b"30 GNU.sparse.major=1\n30 GNU.sparse.minor=0\n",
    ],
    ids=["length too large", "length no number", "sparse without a map"],
)
def test_layer_refuses_or_ignores_a_malformed_record(filtered: Filter, record: bytes) -> None:
    """Which of the two is Python's own decision: its security updates made it stricter."""
    with suppress(ImageContentError):
        filtered(_pax_record(record))


def test_layer_works_between_pipes(filtered: Filter) -> None:
    """Pipes deliver short reads; what is whole in a file must be whole from them."""
    contents = {f"usr/{n}": noise(n, 70_001) for n in range(40)}
    archive = tar(*(file(path, content) for path, content in contents.items()))
    blob_read, blob_write = os.pipe()

    def feed() -> None:
        with open(blob_write, "wb", buffering=0) as out:  # noqa: PTH123 - a descriptor
            out.writelines(archive[start : start + 777] for start in range(0, len(archive), 777))

    thread = threading.Thread(target=feed)
    thread.start()
    found = filtered.from_fd(blob_read)
    thread.join()
    assert found.summary.diff_id == sha256(archive)
    assert {path: found.content(path) for path in contents} == contents


# ---------------------------------------------------------------------------- what is too much


def _header(kind: bytes, size: int = 0, name: str = "usr/x") -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type, header.size = kind, size
    return header


def _record(key: bytes, value: bytes) -> bytes:
    """Return a PAX record, of the length that it says."""
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while len(b"%d" % length) + len(body) != length:
        length += 1
    return b"%d" % length + body


def _extended(kind: bytes, content: bytes) -> bytes:
    header = _header(kind, len(content)).tobuf(tarfile.GNU_FORMAT)
    return header + content + bytes(-len(content) % 512)


def _pax(*records: tuple[bytes, bytes], kind: bytes = tarfile.XHDTYPE) -> bytes:
    return _extended(kind, b"".join(_record(key, value) for key, value in records))


_FILE = tar(file("usr/a", b"1"))
_SPARSE = _header(tarfile.REGTYPE, 512).tobuf() + bytes(512 * 3)


def _sparse(map_text: bytes, size: bytes = b"99999") -> bytes:
    return _pax((b"GNU.sparse.map", map_text), (b"GNU.sparse.size", size)) + _SPARSE


def _old_sparse(*numbers: int, real_size: int) -> bytes:
    block = bytearray(_header(b"S", 512).tobuf(tarfile.GNU_FORMAT))
    for at, number in enumerate(numbers):
        block[386 + 12 * at : 398 + 12 * at] = b"%011o\0" % number
    block[483:495] = b"%011o\0" % real_size
    return _with_checksum(block) + bytes(512 * 3)


def _with_checksum(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _with_field(at: int, field: bytes) -> bytes:
    block = bytearray(_header(tarfile.REGTYPE).tobuf(tarfile.GNU_FORMAT))
    block[at : at + len(field)] = field
    return _with_checksum(block) + bytes(1024)


@pytest.mark.parametrize(
    ("blob", "message", "hint"),
    [
        (
            _pax((b"SCHILY.xattr.user.\xff", b"1")) + _FILE,
            "a PAX header has the key 'SCHILY.xatt",
            _CORRUPT,
        ),
        (_pax((b"comment", b"x")) * 50_000 + _FILE, "more than 8 extended headers", _HOSTILE),
        (_extended(b"L", b"usr/b\0") * 5000 + _FILE, "more than 8 extended headers", _HOSTILE),
        (_pax((b"c", b"x"), kind=b"g") * 50_000 + _FILE, "more than 8 extended headers", _HOSTILE),
        (
            (_pax((b"c", b"x" * 9000), kind=b"g") + _FILE[:1024]) * 9,
            "bytes of global headers",
            _HOSTILE,
        ),
        (_pax(*((b"k%d" % n, b"v") for n in range(5000))) + _FILE, "too many records", _CORRUPT),
        (_extended(b"L", b"usr/b\0"), "it ends between the headers of a member", _CORRUPT),
        (
            _extended(b"L", b"usr/b\0") + bytes(1024),
            "it ends between the headers of a member",
            _CORRUPT,
        ),
        (_extended(b"L", b"usr/b\0")[:514], "the layer is truncated", _CORRUPT),
        (_pax((b"path", b"usr/b")), "it ends between the headers of a member", _CORRUPT),
        (_extended(b"L", b"a/" * 3000), "an extended header claims to have 6000 bytes", _CORRUPT),
        (_pax((b"path", b"u/" + b"n" * 256)) + _FILE, "a name of more than 255 bytes", _HOSTILE),
        (
            _pax((b"path", b"/".join([b"n" * 200] * 30))) + _FILE,
            "a path of 6029 bytes: 'nnnn",
            _HOSTILE,
        ),
        (_pax((b"path", b"usr/a\0b")) + _FILE, "a name with a NUL in it", _HOSTILE),
        (_sparse(b"-5,3"), "a PAX header has the sparse map '-5'", _CORRUPT),
        (_sparse(b"0,512", b"-1"), "a PAX header has the sparse size '-1'", _CORRUPT),
        (_sparse(b"0,256,100,256"), "the parts of the sparse file 'usr/x' overlap", _CORRUPT),
        (_sparse(b"0,100"), "the parts of the sparse file 'usr/x' do not have its size", _CORRUPT),
        (
            _sparse(b"99998,512"),
            "the parts of the sparse file 'usr/x' do not have its size",
            _CORRUPT,
        ),
        (
            _sparse(b"0,512", b"%d" % (1 << 62)),
            "claims to have 4611686018427387904 bytes",
            _HOSTILE,
        ),
        (_sparse(b"0,512,7"), "has half a part", _CORRUPT),
        (_sparse(b"0,512" + b",512,0" * 70_000), "has too many parts", _CORRUPT),
        (_sparse(b"0,5" + b"1" * 30), "a PAX header has the sparse map '5111", _CORRUPT),
        (_old_sparse(0, 300, 200, 212, real_size=1000), "overlap", _CORRUPT),
        (_old_sparse(0, 512, real_size=100), "do not have its size", _CORRUPT),
        (_pax((b"size", b"-5")) + _FILE, "a PAX header has the size '-5'", _CORRUPT),
        (
            _pax((b"size", b"9" * 20)) + _FILE,
            "'usr/a' in the layer claims to have 99999999",
            _HOSTILE,
        ),
        (_with_field(124, b"\xff" * 12), "'usr/x' in the layer claims to have -1 bytes", _HOSTILE),
        (
            _with_field(124, b"\x80" + b"\0" * 3 + b"\x40" + b"\0" * 7),
            "claims to have 46116860184",
            _HOSTILE,
        ),
        (
            _with_field(108, b"\xff" * 8),
            "'usr/x' in the layer belongs to the user -1, which",
            _HOSTILE,
        ),
        (_with_field(108, b"0x1\0\0\0\0\0"), "has b'0x1.*' for a number", _CORRUPT),
        (_pax((b"uid", b"4294967295")) + _FILE, "belongs to the user 4294967295, which", _HOSTILE),
        (_pax((b"uid", b"4294967296")) + _FILE, "belongs to the user 4294967296, which", _HOSTILE),
        (_pax((b"gid", b"-1")) + _FILE, "a PAX header has the gid '-1'", _CORRUPT),
        (_pax((b"gid", b"1_0")) + _FILE, "a PAX header has the gid '1_0'", _CORRUPT),
        (_pax((b"mtime", b"never")) + _FILE, "a PAX header has the mtime 'never'", _CORRUPT),
        (
            _pax((b"SCHILY.xattr.user.a", b"")) + _FILE,
            "attribute 'user.a' without a value",
            "give it a value, or remove it in the image (`setfattr --remove`)",
        ),
        (_pax((b"SCHILY.xattr.", b"1")) + _FILE, "an extended attribute named ''", _HOSTILE),
        (
            _pax((b"SCHILY.xattr.user.%s" % (b"n" * 251), b"1")) + _FILE,
            "attribute named 'user.nn",
            _HOSTILE,
        ),
        (
            _pax((b"SCHILY.xattr.user.a", b"v" * 65_537)) + _FILE,
            "'user.a' of 65537 bytes",
            _HOSTILE,
        ),
        (
            _pax(*((b"SCHILY.xattr.user.%d" % n, b"v" * 65_000) for n in range(17))) + _FILE,
            "has 110\\d+ bytes of extended attributes",
            _HOSTILE,
        ),
        (tar(symlink("usr/a", "")), "the symbolic link 'usr/a' has a target of 0 bytes", _HOSTILE),
        (
            tar(symlink("usr/a", "x" * 4096)),
            "the symbolic link 'usr/a' has a target of 4096 bytes",
            _HOSTILE,
        ),
        (
            _pax((b"linkpath", b"a\0b")) + tar(symlink("usr/a", "x")),
            "has a target with a NUL",
            _HOSTILE,
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_layer_refuses_what_is_out_of_range(
    filtered: Filter, blob: bytes, message: str, hint: str
) -> None:
    began = time.monotonic()
    with refused(ImageContentError, message, hint=hint) as caught:
        filtered(blob)
    assert len(caught.value.message) < 400
    assert "\n" not in caught.value.message
    assert time.monotonic() - began < 5


def test_layer_keeps_names_with_control_characters(filtered: Filter) -> None:
    """They are data; only messages must not repeat them as they are."""
    name = "usr/\x1b[2J\na\x7f"
    assert filtered.members(file(name, b"1")).content(name) == b"1"
    with refused(ImageContentError, r"'usr/\\x1b\[2J\\na\\x7f'", hint=_TMPFILES):
        filtered.members(device(name))


def test_layer_masks_modes(filtered: Filter) -> None:
    member = file("usr/a", b"1")
    member.header.mode = 0o7106755
    found = filtered.members(member, directory("usr/d", mode=0o41777))
    assert (found.tree["usr/a"].mode, found.tree["usr/d"].mode) == (0o6755, 0o1777)
    odd = _with_field(100, b"\xff" * 8)
    assert filtered(odd).tree["usr/x"].mode == 0o7777


def test_layer_takes_the_largest_of_everything(filtered: Filter) -> None:
    value = "v" * 65_536
    name = "/".join(["n" * 255] * 15)
    found = filtered.members(
        file(name, b"1", uid=2**32 - 2, gid=2**32 - 2, xattrs={f"user.{'x' * 250}": value}),
        symlink("usr/s", "t" * 4095),
    )
    assert found.tree[name] == Node(
        b"1", 0o644, 2**32 - 2, 2**32 - 2, ((b"user." + b"x" * 250, value.encode()),)
    )
    assert found.content("usr/s") == "t" * 4095


def test_layer_reads_a_sparse_map_in_the_content(filtered: Filter) -> None:
    mapped = b"2\n10\n5\n4096\n3\n"
    body = mapped + bytes(-len(mapped) % 512) + b"helloend"
    header = _header(tarfile.REGTYPE, len(body), "GNUSparseFile.0/x").tobuf()
    records = (
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", b"usr/holes"),
        (b"GNU.sparse.realsize", b"5000"),
    )
    content = _pax(*records) + header + body + bytes(-len(body) % 512) + _FILE
    found = filtered(content)
    assert found.content("usr/holes") == bytes(10) + b"hello" + bytes(4081) + b"end" + bytes(901)
    assert found.content("usr/a") == b"1"


# ------------------------------------------------------------------------------ properties


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    cut=st.integers(min_value=1, max_value=9000),
    flips=st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 255)), max_size=4),
)
def test_layer_never_fails_in_another_way(
    filtered: Filter, cut: int, flips: list[tuple[int, int]]
) -> None:
    archive = bytearray(
        tar(
            directory("usr"),
            file("usr/a", b"x" * 700, xattrs={"user.a": "b"}),
            symlink("usr/s", "a"),
            hardlink("usr/h", "usr/a"),
            file(f"usr/{'n' * 150}", b"y"),
        )
    )
    for position, flip in flips:
        if position < len(archive):
            archive[position] ^= flip
    blob = bytes(archive[: max(1, len(archive) - cut)])
    if blob[:2] in {b"\x1f\x8b", b"\x28\xb5"}:
        return  # no decompressor is there to refuse it
    try:
        found = filtered(blob)
    except ImageContentError:
        return
    assert found.summary.diff_id == sha256(blob)
