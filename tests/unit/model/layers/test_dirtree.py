"""Directory objects: the bytes that libostree writes, and back."""

import hashlib
import tempfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcpy.errors import BootcpyError
from bootcpy.model.layers.dirtree import (
    DirtreeReader,
    DirtreeWriter,
    parse_dirtree,
    serialise_dirtree,
)
from bootcpy.model.layers.tree import Listing, TreeRef
from tests.refusals import refused

A, B, C = (hashlib.sha256(letter).hexdigest() for letter in (b"a", b"b", b"c"))

_names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=300)
_checksums = st.binary(min_size=32, max_size=32).map(bytes.hex)
_listings = st.builds(
    Listing,
    st.dictionaries(_names, _checksums, max_size=12),
    st.dictionaries(_names, st.builds(TreeRef, _checksums, _checksums), max_size=12),
)


def test_serialise_dirtree_of_nothing_is_the_object_every_repository_has() -> None:
    checksum = hashlib.sha256(serialise_dirtree(Listing())).hexdigest()
    assert checksum == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


# Made by libostree 2025.2 of the same listings, through its bindings.
@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        (
            Listing({"file": A}),
            "4a758e0a739dd219ba2f7671e628c89d3e1ba3a7e84927335d490e07eaf617d3",
        ),
        (
            Listing({}, {"dir": TreeRef(A, B)}),
            "0a11e54e5d816e4d8eb3c02eec3ff65d770b65af6c383f3eb2f9764e57f2888d",
        ),
        (
            Listing({"b": A, "a": B, "\u00e9": C}, {"z": TreeRef(A, B), "Z": TreeRef(B, C)}),
            "310e2441dc4e38cd4f44707d3b0b5ea92662540754dbe5e02ca05da7ae093e4b",
        ),
        (
            Listing({"n" * 300: A}, {"m" * 300: TreeRef(B, C)}),
            "e1f48e5942bf8951cf4dce2e9d54247b084cc2ed8fd0443610b00b602d0bfc9c",
        ),
        (
            Listing({f"file-{n}": A for n in range(7)}),
            "4a08ce3b67d6e82cdd3653a81b1babc91a985b7ce7ec2a512da22efc1e05f8d8",
        ),
        (
            Listing({f"{n}": A for n in range(2000)}, {f"{n}": TreeRef(A, B) for n in range(900)}),
            "e3cbfcedb29c9ad1e6867d3e5dc2877fd213ea32f2c19fa890f5031fc5ba4a59",
        ),
    ],
)
def test_serialise_dirtree_writes_what_libostree_does(listing: Listing, expected: str) -> None:
    assert hashlib.sha256(serialise_dirtree(listing)).hexdigest() == expected


def test_serialise_dirtree_orders_names_by_their_bytes() -> None:
    names = ["b", "a", "\U0001f600", "\ufffd", "B"]
    parsed = parse_dirtree(serialise_dirtree(Listing(dict.fromkeys(names, A))))
    assert list(parsed.files) == ["B", "a", "b", "\ufffd", "\U0001f600"]


@given(listing=_listings)
def test_parse_dirtree_reads_what_was_written(listing: Listing) -> None:
    assert parse_dirtree(serialise_dirtree(listing)) == listing


@given(octets=st.binary(max_size=600))
def test_parse_dirtree_ends_in_no_other_way(octets: bytes) -> None:
    with suppress(BootcpyError):
        parse_dirtree(octets)


@pytest.mark.parametrize("cut", [1, 2, 33, 39, 40])
def test_parse_dirtree_refuses_what_is_cut_short(cut: int) -> None:
    with refused(
        BootcpyError,
        "a directory object of the repository is damaged",
        hint="see what `ostree fsck` says; the disk may be failing (`dmesg`)",
    ):
        parse_dirtree(serialise_dirtree(Listing({"file": A}))[:-cut])


@pytest.mark.parametrize("names", [(b"bb", b"aa"), (b"aa", b"aa")])
def test_names_out_of_order_or_there_twice_are_damage(names: tuple[bytes, bytes]) -> None:
    """libostree takes them, but a whiteout would not find its name."""
    octets = serialise_dirtree(Listing({"xx": A, "yy": B}))
    for before, after in zip((b"xx", b"yy"), names, strict=True):
        octets = octets.replace(before, after)
    with pytest.raises(BootcpyError, match="damaged"):
        parse_dirtree(octets)


def test_a_large_object_is_the_same_from_a_file() -> None:
    """With a place for temporary files, only the offsets stay in memory."""
    spooled, plain = DirtreeWriter(tempfile.TemporaryFile), DirtreeWriter()
    for writer in (spooled, plain):
        for number in range(9000):
            writer.add_file(b"%06d" % number, bytes.fromhex(A))
            writer.add_directory(b"d%06d" % number, bytes.fromhex(B), bytes.fromhex(C))
    expected = b"".join(plain.pieces())
    assert plain.size_bytes == spooled.size_bytes == len(expected)
    pieces = list(spooled.pieces())
    assert b"".join(pieces) == expected
    assert max(map(len, pieces)) < 150_000


@given(listing=_listings, name=_names)
def test_a_reader_finds_names(listing: Listing, name: str) -> None:
    reader = DirtreeReader(serialise_dirtree(listing))
    for sought in (name, *listing.files, *listing.dirs):
        file, ref = listing.files.get(sought), listing.dirs.get(sought)
        assert reader.file(sought.encode()) == (bytes.fromhex(file) if file else None)
        both = bytes.fromhex(ref.contents + ref.meta) if ref else None
        assert reader.dir(sought.encode()) == both
    later = [found for found, _ in reader.files(name.encode())]
    assert later == sorted(key.encode() for key in listing.files if key.encode() >= name.encode())
