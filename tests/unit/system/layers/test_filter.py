"""The filter on real tar bytes: what comes out, what is told, what is refused."""

import gzip
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from bootcpy.errors import ImageContentError
from bootcpy.system.layers.filter import LayerSummary
from tests.layers import (
    Member,
    compressed,
    device,
    directory,
    file,
    hardlink,
    noise,
    opaque,
    sha256,
    symlink,
    tar,
    whiteout,
)
from tests.refusals import refused
from tests.unit.system.layers.layer_filter import Filter, Node

REAL = shutil.which("zstd")  # before PATH is emptied


@pytest.fixture
def filtered(tmp_path: Path) -> Filter:
    return Filter(tmp_path)


# ------------------------------------------------------------------------- what comes out


def test_layer_moves_etc_and_keeps_the_rest(filtered: Filter) -> None:
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
    assert found.tree == {
        "": Node(None, 0o755),
        "usr": Node(None, 0o755),
        "usr/etc": Node(None, 0o750),
        "usr/etc/hosts": Node(b"hosts", 0o640, 3, 4),
        "usr/lib64": Node("lib", 0o777),
        "opt": Node(None, 0o755),
        "opt/tool": Node(b"tool", 0o644),
        "var": Node(None, 0o755),
    }
    assert found.summary.dropped == {}


def test_layer_counts_what_it_leaves_out(filtered: Filter) -> None:
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
    assert found.tree.keys() == {"", "usr", "run"}


@pytest.mark.parametrize("budget", [1, 1000, 1 << 20])
def test_layer_that_is_sorted_outside_memory_is_the_same(tmp_path: Path, budget: int) -> None:
    files = {f"usr/share/{number}": bytes([number % 7]) * number for number in range(300)}
    links = {f"usr/lib/{number}": f"usr/share/{number}" for number in range(0, 300, 7)}
    found = Filter(tmp_path, budget_bytes=budget).members(
        *(file(path, content) for path, content in files.items()),
        *(hardlink(path, target) for path, target in links.items()),
    )
    assert {
        path: node.content for path, node in found.tree.items() if node.content is not None
    } == {
        **files,
        **{path: files[target] for path, target in links.items()},
    }


def test_layer_keeps_the_last_member_of_a_name(filtered: Filter) -> None:
    paths = [f"usr/{number}" for number in range(20)]
    found = filtered.members(
        *(file(path, b"old") for path in paths),
        directory("usr/d", mode=0o700),
        *(file(path, b"new!") for path in paths),
        directory("usr/d", mode=0o711),
    )
    assert {found.content(path) for path in paths} == {b"new!"}
    assert found.tree["usr/d"].mode == 0o711


# --------------------------------------------------------------------------- what is told


def test_layer_tells_implicit_directories(filtered: Filter) -> None:
    found = filtered.members(
        file("usr/share/doc/a", b"1", uid=5, gid=6),
        directory("usr/share", mode=0o700, uid=1),
        directory("etc", mode=0o711),
    )
    assert found.implicit == {"", "usr", "usr/share/doc"}
    assert found.tree["usr/share/doc"] == Node(None, 0o755, 5, 6)
    assert found.tree["usr"] == Node(None, 0o755, 5, 6)
    assert found.tree["usr/share"].mode == 0o700
    assert found.tree[""] == Node(None, 0o755)


def test_layer_gives_implicit_directories_to_whom_the_first_member_belongs(
    filtered: Filter,
) -> None:
    found = filtered.members(
        file("usr/z", b"1", uid=1),
        file("usr/d/b", b"2", uid=2),
        file("usr/d/a", b"3", uid=3),
        hardlink("usr/h/x", "usr/z"),
        file("usr/h/y", b"4", uid=4),
    )
    assert [found.tree[path].uid for path in ("", "usr", "usr/d", "usr/h")] == [0, 1, 2, 0]


def test_layer_takes_the_root_as_described(filtered: Filter) -> None:
    assert filtered.members(directory("./")).implicit == set()
    assert filtered.members(directory("usr")).implicit == {""}


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
def test_layer_tells_whether_anything_is_hidden(
    filtered: Filter, member: Member, *, expected: bool
) -> None:
    assert filtered.members(member).summary.whiteouts is expected


def test_layer_tells_boot_paths(filtered: Filter) -> None:
    found = filtered.members(
        file("usr/lib/modules/6.1/vmlinuz", b"k"),
        file("usr/lib/modules/6.1/kernel/a.ko", b"m"),
        whiteout("usr/lib/modules/6.0"),
    )
    assert found.summary.boot_paths == ["usr/lib/modules/6.1/vmlinuz", "usr/lib/modules/.wh.6.0"]


def test_layer_takes_hard_links(filtered: Filter) -> None:
    found = filtered.members(
        file("usr/bin/a", b"1"),
        hardlink("usr/bin/b", "usr/bin/a"),
        file("etc/c", b"2"),
        hardlink("etc/d", "./etc/c"),
        hardlink("usr/e", "/etc/c"),
        hardlink("usr/bin/f", "usr/bin/b"),
    )
    assert {
        path: node.content for path, node in found.tree.items() if node.content is not None
    } == {
        "usr/bin/a": b"1",
        "usr/bin/b": b"1",
        "usr/bin/f": b"1",
        "usr/etc/c": b"2",
        "usr/etc/d": b"2",
        "usr/e": b"2",
    }
    assert found.tree["usr/bin/b"] == found.tree["usr/bin/a"]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([hardlink("b", "a"), file("a", b"1")], b"1"),  # a link may come first
        ([file("a", b"1"), hardlink("b", "a"), file("a", b"2")], b"2"),
        ([file("b", b"1"), file("a", b"2"), hardlink("b", "a")], b"2"),
        ([file("a", b"1"), hardlink("c", "a"), hardlink("b", "c")], b"1"),
        ([file("z", b"1"), *(hardlink(n, m) for n, m in ("yz", "xy", "by"))], b"1"),
        ([file("a", b"1"), hardlink("b", "a"), file("c", b"3"), hardlink("a", "c")], b"1"),
        ([symlink("a", "x"), hardlink("b", "a")], "x"),
    ],
)
def test_layer_resolves_hard_links(
    filtered: Filter, members: list[Member], expected: bytes | str
) -> None:
    assert filtered.members(*members).content("b") == expected


def test_layer_lets_a_later_file_replace_a_hard_link(filtered: Filter) -> None:
    found = filtered.members(file("usr/a", b"1"), hardlink("usr/b", "usr/a"), file("usr/b", b"own"))
    assert found.content("usr/b") == b"own"


def test_layer_follows_links_into_the_images_repository(filtered: Filter) -> None:
    stored = "sysroot/ostree/repo/objects/ab/cd.file"
    found = filtered.members(
        file(stored, b"content", mtime=1700000000),
        hardlink("usr/bin/tool", stored, mtime=1700000000),
        hardlink("etc/copy", stored, mtime=1700000000),
        hardlink("usr/bin/old", "sysroot/ostree/repo/objects/00/00.file", mtime=1700000000),
        allow_nonusr=False,
    )
    assert {path: node.content for path, node in found.tree.items()} == {
        "": None,
        "usr": None,
        "usr/bin": None,
        "usr/bin/tool": b"content",
        "usr/etc": None,
        "usr/etc/copy": b"content",
    }
    assert found.implicit == {"", "usr", "usr/bin", "usr/etc"}


def test_layer_hashes_all_bytes_of_the_tar(filtered: Filter) -> None:
    archive = tar(file("usr/a", b"1")) + bytes(20480)  # more padding than any writer makes
    found = filtered(archive)
    assert found.summary.diff_id == sha256(archive)
    assert found.counted == len(archive)


@pytest.mark.parametrize(
    "archive", [b"", bytes(1024), tar()], ids=["no byte", "two blocks", "empty tar"]
)
def test_layer_takes_a_layer_without_files(filtered: Filter, archive: bytes) -> None:
    found = filtered(archive)
    assert found.summary == LayerSummary(diff_id=sha256(archive))
    assert found.tree == {"": Node(None, 0o755)}
    assert found.implicit == {""}


# ----------------------------------------------------------------------- forms of the tar


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["PAX", "GNU"])
def test_layer_takes_long_and_foreign_names(filtered: Filter, form: int) -> None:
    long = "usr/share/" + "/".join(["x" * 90] * 5) + "/Grüße 日本語"
    target = "../" * 50 + "y" * 200
    found = filtered(
        tar(file(f"etc/{'z' * 220}", b"1"), file(long, b"2"), symlink("usr/s", target), form=form)
    )
    assert found.content(long) == b"2"
    assert found.content(f"usr/etc/{'z' * 220}") == b"1"
    assert found.content("usr/s") == target


def test_layer_keeps_extended_attributes_and_nothing_else(filtered: Filter) -> None:
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
    assert filtered(blob.getvalue()).tree["usr/a"].xattrs == (
        (b"security.capability", b"\x01\x00\x00\x02\xff\xfe"),
        (b"user.mood", b"gut"),
    )


def test_layer_does_not_let_a_pax_path_bypass_it(filtered: Filter) -> None:
    member = file("usr/a", b"1")
    member.header.pax_headers = {"path": "etc/b"}
    assert "usr/etc/b" in filtered.members(member).tree
    member = file("usr/a", b"1")
    member.header.pax_headers = {"path": "../b"}
    with refused(
        ImageContentError,
        r"leaves the tree: '\.\./b'",
        hint="the image is malformed or hostile; do not use it",
    ):
        filtered.members(member)


def test_layer_keeps_large_owner_ids(filtered: Filter) -> None:
    found = filtered.members(file("usr/a", b"1", uid=3_000_000, gid=4_000_000_000))
    assert (found.tree["usr/a"].uid, found.tree["usr/a"].gid) == (3_000_000, 4_000_000_000)


@pytest.mark.parametrize("form", ["gnu", "0.0", "0.1", "1.0"])
def test_layer_fills_the_holes_of_sparse_files(filtered: Filter, tmp_path: Path, form: str) -> None:
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
    assert found.content("usr/holes") == content
    assert found.summary.diff_id == sha256(archive)


# ---------------------------------------------------------------------------- compression


def _zstd(archive: bytes) -> bytes:
    argv = [REAL or "", "-c"]
    return subprocess.run(argv, input=archive, check=True, capture_output=True).stdout


@pytest.mark.parametrize(
    ("program", "compress"),
    [
        ("", compressed),
        ("", lambda archive: gzip.compress(archive[:5000]) + gzip.compress(archive[5000:])),
        ("", lambda archive: compressed(archive) + bytes(512)),
        ("zstd", _zstd),
        # zstd:chunked ends with a skippable frame.
        ("zstd", lambda archive: _zstd(archive) + b"\x50\x2a\x4d\x18\x04\x00\x00\x00meta"),
    ],
    ids=["gzip", "gzip in two members", "gzip with padding", "zstd", "zstd, a skippable frame"],
)
def test_layer_decompresses(
    filtered: Filter, tools_directory: Path, program: str, compress: "type[bytes]"
) -> None:
    _allow(program, tools_directory)
    archive = tar(file("usr/a", noise(1, 3_000_000)), file("usr/b", b"2"))
    blob = compress(archive)
    for in_process in (False, True):
        found = filtered(blob, in_process=in_process)
        assert found.summary.diff_id == sha256(archive)
        assert found.counted == len(blob)
        assert found.content("usr/b") == b"2"


def _allow(program: str, tools_directory: Path) -> None:
    """Let `program` be found, if it is not empty; gzip needs none."""
    if program:
        if REAL is None:
            pytest.skip(f"needs {program}")
        (tools_directory / program).symlink_to(REAL)


@pytest.mark.parametrize("program", ["", "zstd"])
@pytest.mark.parametrize("damage", ["truncated", "garbled"])
def test_layer_refuses_damaged_compression(
    filtered: Filter, tools_directory: Path, program: str, damage: str
) -> None:
    _allow(program, tools_directory)
    archive = tar(file("usr/a", noise(1, 500_000)))
    blob = _zstd(archive) if program else compressed(archive)
    middle = len(blob) // 2
    bad = blob[:middle] if damage == "truncated" else blob[:middle] + b"\0\1\2" * 50 + blob[middle:]
    for in_process in (False, True):
        with pytest.raises(ImageContentError):
            filtered(bad, in_process=in_process)


@pytest.mark.parametrize("cut", [1, 8, 9])
def test_layer_refuses_gzip_without_its_end(filtered: Filter, cut: int) -> None:
    blob = compressed(tar(file("usr/a", noise(1, 5000))) + bytes(20 * 512))
    with refused(
        ImageContentError,
        "its gzip stream is truncated",
        hint="the image is corrupt; pull, copy or build it again",
    ):
        filtered(blob[:-cut])


def test_layer_refuses_garbage_after_gzip(filtered: Filter) -> None:
    with pytest.raises(ImageContentError, match="cannot be decompressed"):
        filtered(compressed(tar(file("usr/a", b"1"))) + b"garbage")


def test_layer_refuses_a_file_that_ends_early(filtered: Filter) -> None:
    with refused(
        ImageContentError,
        "the layer is truncated",
        hint="the image is corrupt; pull, copy or build it again",
    ):
        filtered(tar(file("usr/a", noise(1, 5000)))[:3000])
