"""Images with an embedded ostree commit: objects that lack, lie, or do not belong there."""

import hashlib
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path
from zlib import crc32

import pytest

from bootcpy.ostree.base.bindings import GLib
from bootcpy.ostree.base.repo import open_repo
from tests.hostile.ground import Ground, Row, Words
from tests.hostile.images import FILES, MIB, Blob, Layout, of_tar
from tests.layers import Member, directory, file, hardlink, symlink, tar
from tests.system.support.encapsulate import REPO, Encapsulation, object_path

_ZERO, _ONE, _TWO = ("0" * 64, "1" * 64, "2" * 64)
_Change = Callable[[list[Member]], list[Member]]
_NOT_ONE = "the layer is not one of an ostree commit"


def _embedded(place: Path, name: str) -> Encapsulation:
    """Return a commit that boots; no other row has any of its objects."""
    source, tree = place / "source", place / "tree"
    for inside, text in FILES.items():
        path = tree / inside.replace("etc/", "usr/etc/", inside.startswith("etc/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    for top in ("boot", "ostree", "sysroot", "var"):
        (tree / top).mkdir()
    (tree / "usr/bin/large").write_bytes(b"large" * 50_000)
    (tree / "usr/bin/alias").symlink_to("tool")
    ostree = ["ostree", f"--repo={source}"]
    subprocess.run([*ostree, "init", "--mode=bare"], check=True)
    commit = subprocess.run(
        [*ostree, "commit", f"--tree=dir={tree}", "--orphan", f"--owner-uid={_owner(name)}"],
        check=True,
        capture_output=True,
        text=True,
    )
    return Encapsulation(open_repo(source), commit.stdout.strip())


def _owner(name: str) -> int:
    return 1000 + crc32(name.encode()) % 60_000


def _packed(members: Sequence[Member]) -> Blob:
    return of_tar(tar(*members, form=tarfile.GNU_FORMAT))


def _same(members: list[Member]) -> list[Member]:
    return members


def _row(  # noqa: PLR0913 - a row has many parts
    name: str,
    refused: str = "",
    commit_layer: _Change = _same,
    chunk: _Change | None = _same,
    *,
    final: int = -1,
    labels: dict[str, str] | None = None,
    upper: Sequence[Member] = (),
    once: str = "",
) -> Row:
    """Return a row whose image has a commit layer and one chunk, each changed."""

    def words(_ground: Ground, place: Path) -> Words:
        embedded = _embedded(place, name)
        first = embedded.files if chunk is None else embedded.files[::2]
        layers = [_packed(commit_layer(embedded.commit_layer(first)))]
        if chunk is not None:
            layers.append(_packed(chunk(embedded.chunk(embedded.files[1::2]))))
        said = {"ostree.final-diffid": layers[final].diff_id, **(labels or {})}
        if upper:
            layers.append(_packed(upper))
        layout = Layout(layers, labels=said).write(place / "image")
        return ["switch", "--quiet", "--transport=oci", layout]

    owner = _owner(name)
    tree = {} if refused else {"usr/bin/alias": f"l00777 {owner} 0 0 -> tool"}
    return Row(id=name, words=words, refused=refused, tree=tree, once=once)


def _without(*endings: str) -> _Change:
    return lambda members: [m for m in members if not m.header.name.endswith(endings)]


def _only(*endings: str) -> _Change:
    return lambda members: [m for m in members if m.header.name.endswith(endings)]


def _with(*more: Member) -> _Change:
    return lambda members: [*members, *more]


def _first_without(ending: str) -> _Change:
    """Return what leaves out the first member of a kind only."""

    def change(members: list[Member]) -> list[Member]:
        position = _index(members, ending)
        return [*members[:position], *members[position + 1 :]]

    return change


def _index(members: list[Member], ending: str) -> int:
    return next(n for n, member in enumerate(members) if member.header.name.endswith(ending))


def _content(ending: str, change: Callable[[bytes], bytes]) -> _Change:
    """Return what changes the content of the first member of a kind."""

    def changed(members: list[Member]) -> list[Member]:
        position = _index(members, ending)
        header = members[position].header
        made = file(header.name, change(members[position].content), mode=header.mode)
        return [*members[:position], made, *members[position + 1 :]]

    return changed


def _renamed(ending: str, name: str) -> _Change:
    def change(members: list[Member]) -> list[Member]:
        members[_index(members, ending)].header.name = name
        return members

    return change


def _as_new(ending: str, change: Callable[[bytes], bytes]) -> _Change:
    """Return what changes an object, and names it after its new content."""

    def changed(members: list[Member]) -> list[Member]:
        position = _index(members, ending)
        content = change(members[position].content)
        name = object_path(hashlib.sha256(content).hexdigest(), ending.removeprefix("."))
        return [*members[:position], file(name, content), *members[position + 1 :]]

    return changed


def _commit_with(root_tree: str, root_meta: str | None = None) -> Callable[[bytes], bytes]:
    """Return what has a commit name another tree."""

    def change(content: bytes) -> bytes:
        kind = GLib.VariantType("(a{sv}aya(say)sstayay)")
        variant = GLib.Variant.new_from_bytes(kind, GLib.Bytes.new(content), False)  # noqa: FBT003
        parts = [variant.get_child_value(index) for index in range(variant.n_children())]
        parts[6] = GLib.Variant("ay", bytes.fromhex(root_tree))
        if root_meta is not None:
            parts[7] = GLib.Variant("ay", bytes.fromhex(root_meta))
        made = GLib.Variant.new_tuple(*parts)
        return bytes(made.get_data_as_bytes().get_data() or b"")

    return change


def _as_mode(member: Member, mode: int) -> Member:
    if member.header.name.endswith(".file"):
        member.header.mode = mode
    return member


def _as_owner(member: Member, uid: int) -> Member:
    if member.header.name.endswith(".file"):
        member.header.uid = uid
    return member


def _device(name: str) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type = tarfile.CHRTYPE
    return header


_LACKING = "the embedded commit [0-9a-f]{64} is incomplete"
_SAID_COMPLETE = "marked as complete, then fsck failed"
_LINK = object_path(_ONE, "file-xattrs-link")

_WHOLE = [
    _row("good"),
    _row("derived", upper=[directory("usr"), file("usr/derived", b"x")]),
    _row("commit-layer-alone", "", _same, None),
    _row("label-names-first", _LACKING, final=0, once=_SAID_COMPLETE),
]

_LACK = [
    _row("chunk-empty", _LACKING, chunk=lambda _: [], once=_SAID_COMPLETE),
    _row("chunk-of-directories", _LACKING, chunk=lambda _: [directory("sysroot")]),
    _row("no-dirmeta", _LACKING, _without(".dirmeta"), once=_SAID_COMPLETE),
    _row("no-dirtree", _LACKING, _without(".dirtree"), once=_SAID_COMPLETE),
    _row("one-dirtree-lacks", _LACKING, _first_without(".dirtree"), once=_SAID_COMPLETE),
    _row(
        "one-file-lacks",
        _LACKING,
        chunk=lambda members: members[: _index(members, ".file-xattrs-link")],
        once=_SAID_COMPLETE,
    ),
    _row("commit-alone", "a tree|" + _LACKING, _only(".commit")),
    _row("no-commit", "not with a commit", _without(".commit")),
    _row("nothing", "no commit", lambda _: []),
    _row("ordinary-layer", "no commit|not with", lambda _: [file("usr/x", b"x")]),
    _row("tree-of-another", _LACKING, _as_new(".commit", _commit_with(_ONE)), once=_SAID_COMPLETE),
    _row("meta-of-another", _LACKING, _as_new(".commit", _commit_with(_ONE, _TWO))),
]

_LIE = [
    _row(
        "commit-renamed", "has another checksum", _renamed(".commit", object_path(_ZERO, "commit"))
    ),
    _row("commit-changed", "has another checksum", _content(".commit", lambda c: c + b"x")),
    _row("commit-empty", ".", _as_new(".commit", lambda _: b"")),
    _row("commit-garbage", ".", _as_new(".commit", lambda _: b"garbage" * 9), once="a traceback"),
    _row("commit-cut", ".", _as_new(".commit", lambda c: c[:-20])),
    _row("commit-11-MiB", "has 11534336 bytes", _content(".commit", lambda _: bytes(11 * MIB))),
    _row("commit-twice", ".", lambda members: [*members, members[_index(members, ".commit")]]),
    _row("dirtree-changed", "[Cc]orrupt|Not normal form", _content(".dirtree", lambda c: c + b"x")),
    _row("dirtree-garbage", ".", _as_new(".dirtree", lambda _: b"\xff" * 77)),
    _row("dirtree-empty", ".", _content(".dirtree", lambda _: b"")),
    _row("dirmeta-changed", "[Cc]orrupt|[Ii]nvalid", _content(".dirmeta", lambda c: b"x" + c[1:])),
    _row("dirmeta-garbage", ".", _content(".dirmeta", lambda _: b"garbage")),
    _row("file-changed", "[Cc]orrupt", chunk=_content(".file", lambda c: c + b"x")),
    _row("file-mode", "[Cc]orrupt", chunk=lambda ms: [_as_mode(m, 0o4777) for m in ms]),
    _row("file-owner", "[Cc]orrupt", chunk=lambda ms: [_as_owner(m, 99) for m in ms]),
    _row("file-owner-2^32", ".", chunk=lambda ms: [_as_owner(m, 1 << 32) for m in ms]),
    _row("file-is-link", ".", _with(file(_LINK, b""), symlink(object_path(_ONE, "file"), "/etc"))),
    _row("file-is-directory", "", _with(directory(object_path(_ONE, "file")))),
    _row(
        "file-is-device",
        ".",
        _with(
            file(_LINK, b""),
            Member(_device(object_path(_ONE, "file"))),
        ),
    ),
    _row(
        "file-is-hard-link",
        ".",
        _with(
            file(_LINK, b""),
            hardlink(object_path(_ONE, "file"), "/etc/shadow"),
        ),
    ),
]


_FORM = [
    _row("attributes-lack", "has no extended attributes before it", _without("-link")),
    _row("file-lacks", "is missing", _without(".file")),
    _row("attributes-twice", "is missing", _with(file(_LINK), file(_LINK))),
    _row("attributes-last", "is missing", _with(file(_LINK))),
    _row("attributes-of-another", ".", _with(file(_LINK), file(object_path(_TWO, "file"), b"x"))),
    _row("attributes-2-MiB", "has 2097152 bytes", _with(file(_LINK, bytes(2 * MIB)))),
    _row(
        "attributes-garbage",
        ".",
        _with(
            file(_LINK, b"\xff" * 99),
            file(object_path(_ONE, "file"), b"x"),
        ),
    ),
    _row(
        "attributes-link-to-nothing",
        "is a link to a missing file",
        _with(hardlink(_LINK, object_path(_TWO, "file-xattrs"))),
    ),
    _row(
        "attributes-link-outside",
        "is a link to a missing file",
        _with(hardlink(_LINK, "/etc/shadow")),
    ),
    _row(
        "attributes-renamed",
        "has another checksum",
        _with(file(object_path(_ZERO, "file-xattrs"), b"x")),
    ),
    _row("twice", "occurs twice", chunk=lambda members: [*members, *members[-4:]]),
    _row(
        "metadata-in-chunk",
        "is not part of this layer",
        chunk=_with(file(object_path(_ONE, "dirtree"), b"x")),
    ),
    _row(
        "commit-in-chunk",
        "is not part of this layer",
        chunk=_with(file(object_path(_ONE, "commit"), b"x")),
    ),
    _row("name-filez", "is no object", _with(file(object_path(_ONE, "filez")))),
    _row("name-short", "is no object", _with(file(f"{REPO}/objects/00/1.file"))),
    _row("name-upper", "is no object", _with(file(object_path("A" * 64, "file")))),
    _row("name-deep", ".", _with(file(f"{REPO}/objects/00/1/2/3.file"))),
    _row("name-dot-dot", ".", _with(file(f"{REPO}/objects/../../../../etc/passwd.file"))),
    _row("name-escape", "is no object", _with(file(f"{REPO}/objects/00/\x1b[31m.file"))),
    _row("config-hostile", "", _with(file(f"{REPO}/config", b"[core]\nmode=archive\n"))),
    _row("refs-hostile", "", _with(file(f"{REPO}/refs/heads/ostree/0/1/0", b"x"))),
]

_LABELS = [
    _row("label-twice-final", ".", labels={"ostree.final-diffid": "sha256:" + _ZERO}),
    _row("label-commit-odd", "", labels={"ostree.commit": "\x1b[31m", "ostree.linux": "x\ny"}),
    _row("label-bootable-empty", "", labels={"ostree.bootable": ""}),
    _row("upper-over-repository", "", upper=[file(object_path(_ONE, "file"), b"evil")]),
    _row("upper-whiteout-of-commit", "", upper=[file("sysroot/ostree/.wh.repo")]),
    _row("upper-dot-dot", "leaves the tree", upper=[file("../x")]),
    _row("upper-outside-usr", "", upper=[file("opt/x", b"x")]),
]

ROWS = [*_WHOLE, *_LACK, *_LIE, *_FORM, *_LABELS]


@pytest.mark.parametrize("row", ROWS, ids=attrgetter("id"))
def test_embedded(ground: Ground, row: Row) -> None:
    ground.check(row)
