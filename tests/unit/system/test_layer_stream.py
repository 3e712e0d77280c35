"""The filter on real tar bytes: what comes out, what is told, what is refused."""

import gzip
import io
import os
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootcpy.errors import ImageContentError
from bootcpy.system.layer_stream import STASH, LayerSummary, filter_layer
from bootcpy.system.layer_tar import ByteCounter
from tests.layers import (
    Member,
    compressed,
    device,
    directory,
    file,
    hardlink,
    names,
    noise,
    opaque,
    sha256,
    symlink,
    tar,
    whiteout,
)

REAL = {name: shutil.which(name) for name in ("gzip", "zstd")}  # before PATH is emptied


@dataclass(frozen=True)
class Filtered:
    summary: LayerSummary
    shards: list[bytes]
    counted: int

    @property
    def members(self) -> dict[str, tarfile.TarInfo]:
        """The members of all shards by name; a later one of the same name wins, as in libostree."""
        found: dict[str, tarfile.TarInfo] = {}
        for shard in self.shards:
            with tarfile.open(fileobj=io.BytesIO(shard)) as opened:
                found |= {member.name.removeprefix("./"): member for member in opened}
        return found

    def content(self, path: str) -> bytes:
        for shard in self.shards:
            with tarfile.open(fileobj=io.BytesIO(shard)) as opened:
                if f"./{path}" in opened.getnames() and (stream := opened.extractfile(f"./{path}")):
                    return stream.read()
        raise AssertionError(path)


class Filter:
    """Runs the filter between files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(self, blob: bytes, *, shards: int = 1, allow_nonusr: bool = True) -> Filtered:
        source = self._directory / "blob"
        source.write_bytes(blob)
        outputs = [self._directory / f"shard-{index}" for index in range(shards)]
        fds = [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for path in outputs]
        counter = ByteCounter()
        summary = filter_layer(
            os.open(source, os.O_RDONLY), fds, counter, allow_nonusr=allow_nonusr
        )
        return Filtered(summary, [path.read_bytes() for path in outputs], counter.value)

    def members(self, *members: Member, shards: int = 1, allow_nonusr: bool = True) -> Filtered:
        return self(tar(*members), shards=shards, allow_nonusr=allow_nonusr)


@pytest.fixture
def filtered(tmp_path: Path) -> Filter:
    return Filter(tmp_path)


# ------------------------------------------------------------------------- what comes out


def test_filter_layer_moves_etc_and_keeps_the_rest(filtered: Filter) -> None:
    found = filtered.members(
        directory("./"),
        directory("./etc", mode=0o750),
        file("./etc/hosts", b"hosts", mode=0o640, uid=3, gid=4),
        directory("usr"),
        symlink("usr/lib64", "lib"),
        directory("opt"),
        file("/opt/tool", b"tool"),
        directory("var"),
    )
    assert names(found.shards[0]) == [
        ".",
        "./usr",
        "./usr/etc",
        "./usr/etc/hosts",
        "./usr",
        "./usr/lib64",
        "./opt",
        "./opt/tool",
        "./var",
    ]
    hosts = found.members["usr/etc/hosts"]
    assert (hosts.mode, hosts.uid, hosts.gid, hosts.mtime) == (0o640, 3, 4, 0)
    assert found.members["usr/etc"].mode == 0o750
    assert found.members["usr/lib64"].linkname == "lib"
    assert found.content("usr/etc/hosts") == b"hosts"
    assert found.summary.dropped == {}


def test_filter_layer_counts_what_it_leaves_out(filtered: Filter) -> None:
    found = filtered.members(
        directory("usr"),
        directory("run"),
        directory("run/lock"),
        file("run/lock/a", b"1"),
        device("dev/null"),
        directory("opt"),
        file("opt/tool", b"1"),
        allow_nonusr=False,
    )
    assert found.summary.dropped == {"lock": 2, "null": 1, "opt": 2}
    assert names(found.shards[0]) == ["./usr", "./run"]


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_filter_layer_puts_each_file_into_one_shard_and_directories_into_all(
    filtered: Filter, shards: int
) -> None:
    files = {f"usr/share/{number}": bytes([number]) * number * 100 for number in range(30)}
    found = filtered.members(
        directory("usr", mode=0o751),
        directory("usr/share"),
        *(file(path, content) for path, content in files.items()),
        shards=shards,
    )
    listed = [name for shard in found.shards for name in names(shard)]
    assert all(listed.count(f"./{path}") == 1 for path in files)
    assert listed.count("./usr") == listed.count("./usr/share") == shards
    assert all(found.content(path) == content for path, content in files.items())
    assert all(len(names(shard)) > 2 for shard in found.shards)


def test_filter_layer_puts_a_path_that_comes_twice_into_the_same_shard(filtered: Filter) -> None:
    paths = [f"usr/{number}" for number in range(20)]
    twice = [file(path, b"old") for path in paths] + [file(path, b"new!") for path in paths]
    found = filtered.members(*twice, shards=3)
    assert {found.members[path].size for path in paths} == {4}
    for path in paths:
        assert sum(f"./{path}" in names(shard) for shard in found.shards) == 1


# --------------------------------------------------------------------------- what is told


def test_filter_layer_tells_implicit_directories(filtered: Filter) -> None:
    found = filtered.members(
        file("usr/share/doc/a", b"1", uid=5, gid=6),
        directory("usr/share", mode=0o700, uid=1),
        directory("etc", mode=0o711),
    )
    assert found.summary.implicit == {"", "usr", "usr/share/doc"}
    made = found.members["usr/share/doc"]
    assert (made.mode, made.uid, made.gid, made.isdir()) == (0o755, 5, 6, True)
    assert found.members["usr/share"].mode == 0o700


def test_filter_layer_takes_the_root_as_described(filtered: Filter) -> None:
    assert filtered.members(directory("./")).summary.implicit == set()
    assert filtered.members(directory("usr")).summary.implicit == {""}


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (whiteout("usr/bin/gone"), True),
        (whiteout("etc"), True),
        (opaque("usr/share"), True),
        (file("usr/bin/not.wh.one", b""), False),
        (whiteout("tmp/gone"), False),  # left out with its directory
    ],
    ids=["file", "top level", "opaque", "name that contains the mark", "left out"],
)
def test_filter_layer_tells_whether_anything_is_hidden(
    filtered: Filter, member: Member, *, expected: bool
) -> None:
    assert filtered.members(member).summary.whiteouts is expected


def test_filter_layer_tells_boot_paths(filtered: Filter) -> None:
    found = filtered.members(
        file("usr/lib/modules/6.1/vmlinuz", b"k"),
        file("usr/lib/modules/6.1/kernel/a.ko", b"m"),
        whiteout("usr/lib/modules/6.0"),
    )
    assert found.summary.boot_paths == ["usr/lib/modules/6.1/vmlinuz", "usr/lib/modules/.wh.6.0"]


def test_filter_layer_collects_hard_links(filtered: Filter) -> None:
    found = filtered.members(
        file("usr/bin/a", b"1"),
        hardlink("usr/bin/b", "usr/bin/a"),
        file("etc/c", b"2"),
        hardlink("etc/d", "./etc/c"),
        hardlink("usr/e", "/etc/c"),
        hardlink("usr/bin/f", "usr/bin/b"),
        shards=2,
    )
    assert found.summary.links == {
        "usr/bin/b": "usr/bin/a",
        "usr/etc/d": "usr/etc/c",
        "usr/e": "usr/etc/c",
        "usr/bin/f": "usr/bin/b",
    }
    listed = [name for shard in found.shards for name in names(shard)]
    assert sorted(name for name in set(listed) if "/" in name[2:]) == [
        "./usr/bin",
        "./usr/bin/a",
        "./usr/etc",
        "./usr/etc/c",
    ]


def test_filter_layer_lets_a_later_file_replace_a_hard_link(filtered: Filter) -> None:
    found = filtered.members(file("usr/a", b"1"), hardlink("usr/b", "usr/a"), file("usr/b", b"own"))
    assert found.summary.links == {}
    assert found.content("usr/b") == b"own"


def test_filter_layer_follows_links_into_the_images_repository(filtered: Filter) -> None:
    stored = "sysroot/ostree/repo/objects/ab/cd.file"
    found = filtered.members(
        file(stored, b"content", mtime=1700000000),
        hardlink("usr/bin/tool", stored, mtime=1700000000),
        hardlink("etc/copy", stored, mtime=1700000000),
        hardlink("usr/bin/old", "sysroot/ostree/repo/objects/00/00.file", mtime=1700000000),
        allow_nonusr=False,
    )
    stashed = f"{STASH}/objects/ab/cd.file"
    assert found.summary.links == {"usr/bin/tool": stashed, "usr/etc/copy": stashed}
    assert found.content(stashed) == b"content"


def test_filter_layer_hashes_all_bytes_of_the_tar(filtered: Filter) -> None:
    archive = tar(file("usr/a", b"1")) + bytes(20480)  # more padding than any writer makes
    found = filtered(archive)
    assert found.summary.diff_id == sha256(archive)
    assert found.counted == len(archive)


@pytest.mark.parametrize(
    "archive", [b"", bytes(1024), tar()], ids=["no byte", "two blocks", "empty tar"]
)
def test_filter_layer_takes_a_layer_without_files(filtered: Filter, archive: bytes) -> None:
    found = filtered(archive)
    assert found.summary == LayerSummary(diff_id=sha256(archive), implicit={""})
    assert names(found.shards[0]) == []


# ----------------------------------------------------------------------- forms of the tar


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["PAX", "GNU"])
def test_filter_layer_takes_long_and_foreign_names(filtered: Filter, form: int) -> None:
    long = "usr/share/" + "/".join(["x" * 90] * 5) + "/Grüße 日本語"
    target = "../" * 50 + "y" * 200
    found = filtered(
        tar(file(f"etc/{'z' * 220}", b"1"), file(long, b"2"), symlink("usr/s", target), form=form)
    )
    assert found.content(long) == b"2"
    assert found.content(f"usr/etc/{'z' * 220}") == b"1"
    assert found.members["usr/s"].linkname == target


def test_filter_layer_keeps_extended_attributes_and_nothing_else(filtered: Filter) -> None:
    binary = b"\x01\x00\x00\x02\xff\xfe".decode("utf-8", "surrogateescape")
    member = file("usr/a", b"1", xattrs={"user.mood": "gut", "security.capability": binary})
    member.header.pax_headers = {
        **member.header.pax_headers,
        "path": "usr/a",
        "mtime": "1700000000.5",
        "comment": "hi",
    }
    member.header.uname = "somebody"
    blob = io.BytesIO()
    with tarfile.open(
        fileobj=blob, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape"
    ) as archive:
        archive.addfile(member.header, io.BytesIO(member.content))
    found = filtered(blob.getvalue()).members["usr/a"]
    kept = {key: value for key, value in found.pax_headers.items() if key != "hdrcharset"}
    assert kept == {"SCHILY.xattr.user.mood": "gut", "SCHILY.xattr.security.capability": binary}
    assert found.uname == ""
    assert found.mtime == 0


def test_filter_layer_does_not_let_a_pax_path_bypass_it(filtered: Filter) -> None:
    member = file("usr/a", b"1")
    member.header.pax_headers = {"path": "etc/b"}
    assert "usr/etc/b" in filtered.members(member).members
    member = file("usr/a", b"1")
    member.header.pax_headers = {"path": "../b"}
    with pytest.raises(ImageContentError, match=r"leaves the tree: '\.\./b'"):
        filtered.members(member)


def test_filter_layer_keeps_large_owner_ids(filtered: Filter) -> None:
    found = filtered.members(file("usr/a", b"1", uid=3_000_000, gid=4_000_000_000))
    assert (found.members["usr/a"].uid, found.members["usr/a"].gid) == (3_000_000, 4_000_000_000)


@pytest.mark.parametrize("form", ["gnu", "0.0", "0.1", "1.0"])
def test_filter_layer_fills_the_holes_of_sparse_files(
    filtered: Filter, tmp_path: Path, form: str
) -> None:
    program = shutil.which("tar", path="/usr/bin:/bin")
    if program is None:
        pytest.skip("needs GNU tar")
    content = b"begin" + bytes(1_000_000) + b"middle" + bytes(500_000)
    tree = tmp_path / "tree/usr"
    tree.mkdir(parents=True)
    with (tree / "holes").open("wb") as out:
        out.write(b"begin")
        out.seek(1_000_005)
        out.write(b"middle")
        out.truncate(len(content))
    style = ["--format=gnu"] if form == "gnu" else ["--format=posix", f"--sparse-version={form}"]
    argv = [
        program,
        "--sparse",
        *style,
        "--create",
        "--file=-",
        f"--directory={tree.parent}",
        "usr",
    ]
    archive = subprocess.run(argv, check=True, capture_output=True).stdout
    found = filtered(archive)
    assert found.members["usr/holes"].size == len(content)
    assert found.content("usr/holes") == content
    assert found.summary.diff_id == sha256(archive)


# ---------------------------------------------------------------------------- compression


def _zstd(archive: bytes) -> bytes:
    argv = [REAL["zstd"] or "", "-c"]
    return subprocess.run(argv, input=archive, check=True, capture_output=True).stdout


@pytest.mark.parametrize(
    ("program", "compress"),
    [
        ("gzip", compressed),
        ("gzip", lambda archive: gzip.compress(archive[:5000]) + gzip.compress(archive[5000:])),
        ("zstd", _zstd),
        # zstd:chunked ends with a skippable frame.
        ("zstd", lambda archive: _zstd(archive) + b"\x50\x2a\x4d\x18\x04\x00\x00\x00meta"),
    ],
    ids=["gzip", "gzip in two members", "zstd", "zstd with a skippable frame"],
)
def test_filter_layer_decompresses(
    filtered: Filter, tools_directory: Path, program: str, compress: "type[bytes]"
) -> None:
    real = REAL[program]
    if real is None:
        pytest.skip(f"needs {program}")
    (tools_directory / program).symlink_to(real)
    archive = tar(file("usr/a", noise(1, 3_000_000)), file("usr/b", b"2"))
    blob = compress(archive)
    found = filtered(blob)
    assert found.summary.diff_id == sha256(archive)
    assert found.counted == len(blob)
    assert found.content("usr/b") == b"2"


@pytest.mark.parametrize("program", ["gzip", "zstd"])
@pytest.mark.parametrize("damage", ["truncated", "garbled"])
def test_filter_layer_refuses_damaged_compression(
    filtered: Filter, tools_directory: Path, program: str, damage: str
) -> None:
    real = REAL[program]
    if real is None:
        pytest.skip(f"needs {program}")
    (tools_directory / program).symlink_to(real)
    archive = tar(file("usr/a", noise(1, 500_000)))
    blob = compressed(archive) if program == "gzip" else _zstd(archive)
    middle = len(blob) // 2
    bad = blob[:middle] if damage == "truncated" else blob[:middle] + b"\0\1\2" * 50 + blob[middle:]
    with pytest.raises(ImageContentError):
        filtered(bad)


# ------------------------------------------------------------------------ what is refused


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
    with pytest.raises(ImageContentError):
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
