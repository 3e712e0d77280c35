"""Layers that are refused, and that hostile bytes end in no other way."""

import io
import os
import tarfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootcpy.errors import ImageContentError
from bootcpy.system.layer_stream import filter_layer
from bootcpy.system.layer_tar import ByteCounter
from tests.layers import (
    Member,
    device,
    directory,
    file,
    hardlink,
    names,
    noise,
    sha256,
    symlink,
    tar,
)
from tests.unit.system.layer_filter import Filter


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
    ("members", "message"),
    [
        ((file("../usr/a"),), r"leaves the tree: '\.\./usr/a'"),
        ((file("usr/../../a"),), r"leaves the tree"),
        ((symlink("usr/..", "x"),), r"leaves the tree"),
        ((file("usr/a"), hardlink("usr/b", "../a")), r"leaves the tree: '\.\./a'"),
        ((device("usr/null"),), r"'usr/null' \(a character device\)"),
        ((device("usr/sda", tarfile.BLKTYPE),), r"'usr/sda' \(a block device\)"),
        ((device("usr/pipe", tarfile.FIFOTYPE),), r"'usr/pipe' \(a FIFO\)"),
        ((hardlink("usr/b", "/etc/passwd"),), r"'usr/b' points to 'usr/etc/passwd', which"),
        ((hardlink("usr/b", "usr/b"),), r"'usr/b' points to 'usr/b', which"),
        (
            (hardlink("usr/b", "usr/c"), hardlink("usr/c", "usr/b")),
            r"'usr/b' points to 'usr/c', which",
        ),
        ((directory("usr/d"), hardlink("usr/b", "usr/d")), r"'usr/b' points to 'usr/d', which"),
        ((file("usr/a\udcff", b"1"),), r"not UTF-8"),
        ((symlink("usr/a", "b\udcff"),), r"not UTF-8"),
        ((file("./", b"1"),), r"the root is something else"),
        ((file("usr/a", b"1"), file("usr/a/b", b"2")), r"'usr/a' is a directory and"),
        ((file("usr/a/b", b"2"), file("usr/a", b"1")), r"'usr/a' is a directory and"),
        ((symlink("usr/a", "/etc"), file("usr/a/b", b"1")), r"'usr/a' is a directory and"),
        (
            (file("x", b"1"), directory("usr/a"), hardlink("usr/a", "x")),
            r"'usr/a' is a directory and",
        ),
        ((file("/".join(["a"] * 1500), b"1"),), r"deeper than"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("shards", [1, 2])
def test_filter_layer_refuses_hostile_members(
    filtered: Filter, members: Sequence[Member], message: str, shards: int
) -> None:
    blob = io.BytesIO()
    with tarfile.open(
        fileobj=blob, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape"
    ) as archive:
        for member in members:
            archive.addfile(member.header, io.BytesIO(member.content))
    with pytest.raises(ImageContentError, match=message):
        filtered(blob.getvalue(), shards=shards)


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
def test_filter_layer_refuses_what_is_no_tar(filtered: Filter, blob: bytes) -> None:
    with pytest.raises(ImageContentError, match=r"^the layer is (not a valid tar archive|trunc)"):
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
def test_filter_layer_refuses_or_ignores_a_malformed_record(
    filtered: Filter, record: bytes
) -> None:
    """Which of the two is Python's own decision: its security updates made it stricter."""
    with suppress(ImageContentError):
        filtered(_pax_record(record))


def test_filter_layer_lets_a_vanished_reader_be_told(tmp_path: Path) -> None:
    source = tmp_path / "blob"
    source.write_bytes(tar(file("usr/a", bytes(5_000_000))))
    read, write = os.pipe()
    os.close(read)
    with pytest.raises(BrokenPipeError):
        filter_layer(os.open(source, os.O_RDONLY), [write], ByteCounter(), allow_nonusr=True)


def test_filter_layer_works_between_pipes() -> None:
    """Pipes deliver short reads; what is whole in a file must be whole from them."""
    archive = tar(*(file(f"usr/{n}", noise(n, 70_001)) for n in range(40)))
    blob_read, blob_write = os.pipe()
    out_read, out_write = os.pipe()
    received: list[bytes] = []

    def feed() -> None:
        with open(blob_write, "wb", buffering=0) as out:  # noqa: PTH123 - a descriptor
            out.writelines(archive[start : start + 777] for start in range(0, len(archive), 777))

    def drain() -> None:
        with open(out_read, "rb") as pipe:  # noqa: PTH123 - a descriptor
            received.append(pipe.read())

    threads = [threading.Thread(target=feed), threading.Thread(target=drain)]
    for thread in threads:
        thread.start()
    summary = filter_layer(blob_read, [out_write], ByteCounter(), allow_nonusr=True)
    for thread in threads:
        thread.join()
    assert summary.diff_id == sha256(archive)
    assert len(names(received[0])) == 41


# ------------------------------------------------------------------------------ properties


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    cut=st.integers(min_value=1, max_value=9000),
    flips=st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 255)), max_size=4),
)
def test_filter_layer_never_fails_in_another_way(
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
