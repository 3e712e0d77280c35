import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcpy.errors import ImageContentError
from bootcpy.model.boot import cpio


def member(name: str, content: bytes = b"", magic: bytes = b"070701") -> bytes:
    raw = name.encode() + b"\0"
    fields = [0] * 13
    fields[6], fields[11] = len(content), len(raw)
    header = magic + b"".join(b"%08X" % number for number in fields)
    padded = header + raw + bytes(-(len(header) + len(raw)) % 4)
    return padded + content + bytes(-len(content) % 4)


def archive(*names: str) -> bytes:
    return b"".join(member(name, b"content of " + name.encode()) for name in names) + TRAILER


def header(name_bytes: bytes) -> bytes:
    """Return the header of a member with that field for the size of its name."""
    return b"070701" + b"0" * 88 + name_bytes + b"0" * 8 + bytes(8192)


TRAILER = member("TRAILER!!!")


def test_names_yields_each_path_without_a_leading_slash_or_dot() -> None:
    stream = io.BytesIO(archive(".", "usr/bin/sh", "./etc/fstab", "/init"))
    assert list(cpio.names(stream)) == [".", "usr/bin/sh", "etc/fstab", "init"]


def test_names_leaves_the_stream_behind_the_trailer() -> None:
    stream = io.BytesIO(archive("kernel/x86/microcode/AuthenticAMD.bin") + b"next")
    assert len(list(cpio.names(stream))) == 1
    assert stream.read() == b"next"


@given(st.lists(st.tuples(st.text("abc/", min_size=1), st.binary(max_size=9)), max_size=5))
def test_names_finds_every_member_whatever_its_padding(members: list[tuple[str, bytes]]) -> None:
    stream = io.BytesIO(b"".join(member(f"x{name}", data) for name, data in members) + TRAILER)
    assert list(cpio.names(stream)) == [f"x{name}" for name, _ in members]


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        pytest.param(archive("one", "two")[:-60], "in the middle", id="cut-in-the-trailer"),
        pytest.param(archive("one")[:150], "in the middle", id="cut-in-a-file"),
        pytest.param(b"070701" + b"x" * 200, "malformed cpio header", id="no-numbers"),
        pytest.param(b"junk" * 50, "not a cpio archive", id="no-archive"),
        pytest.param(b"", "in the middle", id="empty"),
        pytest.param(header(b"%08X" % 4097), "a file name of 4,097 bytes", id="long-name"),
        pytest.param(header(b"FFFFFFFF"), "a file name of 4,294,967,295 bytes", id="longest-name"),
        pytest.param(header(b"00000000"), "a file name of 0 bytes", id="no-name"),
        pytest.param(header(b"-0000001"), "malformed cpio header", id="negative"),
        pytest.param(header(b" 0x1_0  "), "malformed cpio header", id="not-hexadecimal"),
    ],
)
def test_names_refuses(damaged: bytes, message: str) -> None:
    with pytest.raises(ImageContentError, match=message):
        list(cpio.names(io.BytesIO(damaged)))


@pytest.mark.parametrize(
    ("allowance", "message"),
    [
        (cpio.Allowance(members=2), "more than 200,000 files"),
        (cpio.Allowance(content_bytes=300), "holds more than 2 GiB"),
    ],
)
def test_names_stops_at_what_is_allowed(allowance: cpio.Allowance, message: str) -> None:
    archives = archive("one") + archive("two")
    stream = io.BytesIO(archives)
    assert list(cpio.names(stream, allowance)) == ["one"]
    with pytest.raises(ImageContentError, match=message):
        list(cpio.names(stream, allowance))
