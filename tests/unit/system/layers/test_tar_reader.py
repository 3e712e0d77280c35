"""Tars are read as Go reads them, and so skopeo and podman: one tar makes one tree."""

import io
import tarfile

import pytest

from bootcpy.model.layers.tar_headers import TarMember
from bootcpy.system.layers.tar_reader import TarReader

BLOCK = tarfile.BLOCKSIZE


def header(name: str, content: bytes = b"", **changes: bytes) -> bytes:
    """Return a member: a ustar header with fields replaced, and its content."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    places = {"uid": slice(108, 116), "size": slice(124, 136), "kind": slice(156, 157)}
    for field, value in changes.items():
        block[places[field]] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + content + bytes(-len(content) % BLOCK)


def pax(kind: bytes, **records: str) -> bytes:
    """Return an extended header."""
    lines = b""
    for key, value in records.items():
        body = f" {key}={value}\n".encode()
        length = len(body)
        while len(str(length)) + len(body) != length:
            length = len(str(length)) + len(body)
        lines += str(length).encode() + body
    return header("pax", lines, kind=kind)


def read(*parts: bytes) -> list[tuple[str, int, bytes]]:
    """Return name, owner and content of the members of a tar."""
    tar = TarReader(io.BytesIO(b"".join(parts) + bytes(2 * BLOCK)))  # type: ignore[arg-type]
    found: list[tuple[str, int, bytes]] = []
    while (member := tar.next()) is not None:
        found.append(_read(tar, member))
    tar.require_end()
    return found


def _read(tar: TarReader, member: TarMember) -> tuple[str, int, bytes]:
    return member.name, member.uid, b"".join(tar.content(member))


@pytest.mark.parametrize(
    "size", [b"00000000003\0", b"\0" * 8 + b"3\0\0\0", b"  3 \0\0\0\0\0\0\0\0"]
)
def test_what_pads_a_number_may_stand_on_both_sides(size: bytes) -> None:
    assert read(header("a", b"abc", size=size), header("b")) == [("a", 0, b"abc"), ("b", 0, b"")]


def test_a_global_header_says_nothing_of_members() -> None:
    assert read(pax(b"g", path="x", uid="7"), header("a")) == [("a", 0, b"")]


def test_the_last_header_before_a_member_counts_alone() -> None:
    assert read(pax(b"x", path="x"), pax(b"x", uid="7"), header("a")) == [("a", 7, b"")]


def test_an_empty_long_name_is_none() -> None:
    assert read(header("long", b"\0", kind=b"L"), header("a")) == [("a", 0, b"")]
