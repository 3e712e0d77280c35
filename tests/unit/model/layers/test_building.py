"""The directories made of a layer's records, against the same made of dictionaries."""

import hashlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcpy.errors import ImageContentError
from bootcpy.model.layers.building import LayerTree, build_tree
from bootcpy.model.layers.dirtree import DirtreeWriter, parse_dirtree
from bootcpy.model.layers.links import resolve_links
from bootcpy.model.layers.records import (
    MemberKind,
    Record,
    grouped,
    key_of,
    pack,
    path_of,
    unpack,
)
from tests.refusals import refused


class ListSorter:
    """Sorts in memory."""

    def __init__(self) -> None:
        self._items: list[bytes] = []

    def add(self, item: bytes) -> None:
        self._items.append(item)

    def __iter__(self) -> Iterator[bytes]:
        return iter(sorted(self._items))

    def __bool__(self) -> bool:
        return bool(self._items)


class MemorySink:
    """Keeps directories; the metadata of an implicit one tells its owner."""

    def __init__(self) -> None:
        self.objects: dict[bytes, bytes] = {}

    def new_dirtree(self) -> DirtreeWriter:
        return DirtreeWriter()

    def write_dirtree(self, dirtree: DirtreeWriter) -> bytes:
        content = b"".join(dirtree.pieces())
        checksum = hashlib.sha256(content).digest()
        self.objects[checksum] = content
        return checksum

    def implicit_metadata(self, uid: int, gid: int) -> bytes:
        return b"implicit %11d,%11d" % (uid, gid)

    def paths(self, tree: LayerTree) -> dict[str, bytes]:
        """Return contents of files and metadata of directories, by path; these end in a slash."""
        return dict(self._walk("", tree.contents, tree.meta))

    def _walk(self, path: str, contents: bytes, meta: bytes) -> Iterator[tuple[str, bytes]]:
        yield path, meta
        listing = parse_dirtree(self.objects[contents])
        for name, checksum in listing.files.items():
            yield path + name, bytes.fromhex(checksum)
        for name, ref in listing.dirs.items():
            below = bytes.fromhex(ref.contents), bytes.fromhex(ref.meta)
            yield from self._walk(f"{path}{name}/", *below)


# What a member is, for a test: path, kind, and a link's target or a word for the content.
Member = tuple[str, MemberKind, str]
FILE, LINK, DIRECTORY = MemberKind.FILE, MemberKind.LINK, MemberKind.DIRECTORY


def _word(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _build(members: list[Member]) -> tuple[dict[str, bytes], set[str]]:
    records, sink = ListSorter(), MemorySink()
    for number, (path, kind, said) in enumerate(members):
        payload = key_of(said) if kind is LINK else _word(said)
        records.add(pack(Record(key_of(path), number, number, 7, kind, payload)))
    tree = build_tree(grouped(records), resolve_links(records, ListSorter), sink)
    return sink.paths(tree), set(tree.implicit)


# ------------------------------------------------------------------------------- the records

_names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=4)
_paths = st.lists(_names, min_size=1, max_size=3).map("/".join)


@given(path=_paths, number=st.integers(0, 2**64 - 1), uid=st.integers(0, 2**32 - 1))
def test_a_record_is_unpacked_as_it_was_packed(path: str, number: int, uid: int) -> None:
    record = Record(key_of(path), number, uid, 5, MemberKind.LINK, b"\0\0target")
    assert unpack(pack(record)) == record
    assert path_of(record.key) == path


@given(paths=st.lists(_paths, max_size=8))
def test_records_sort_as_a_tree_is_walked(paths: list[str]) -> None:
    records = [
        pack(Record(key_of(path), number, 0, 0, FILE, b"")) for number, path in enumerate(paths)
    ]
    found = [(unpack(record).key, unpack(record).number) for record in sorted(records)]
    assert found == sorted(
        ((key_of(path), number) for number, path in enumerate(paths)),
        key=lambda pair: (pair[0].split(b"\0"), pair[1]),
    )


# ----------------------------------------------------------------------------------- the tree


def _expected(members: list[Member]) -> tuple[dict[str, bytes], set[str]]:
    """Return what `_build` does, from dictionaries; a contradiction raises ValueError."""
    described: dict[str, str] = {}
    files: dict[str, str] = {}
    links: dict[str, str] = {}
    owners: dict[str, int] = {}
    for number, (path, kind, said) in enumerate(members):
        parts = path.split("/")
        for depth in range(1, len(parts)):
            owners.setdefault("/".join(parts[:depth]), number)
        if kind is DIRECTORY:
            described[path] = said
            continue
        links.pop(path, None)
        if kind is LINK:
            links[path] = said
        else:
            files[path] = said
    if (described.keys() | owners.keys()) & (files.keys() | links.keys()):
        raise ValueError("two kinds")
    contents = dict(files)
    for path, target in links.items():  # the first to come is the first to be resolved
        if target not in contents or (target in links and target not in files and path == target):
            raise ValueError("nothing")
        contents[path] = contents[target]
    implicit = {path for path in owners if path not in described}
    found = {f"{path}/": _word(said) for path, said in described.items()}
    found |= {f"{path}/": b"implicit %11d,%11d" % (owners[path], 7) for path in implicit}
    found |= {path: _word(said) for path, said in contents.items()}
    found[""] = b"implicit %11d,%11d" % (0, 0)
    return found, implicit | {""}


_few = st.lists(st.sampled_from("ab-"), min_size=1, max_size=3).map("/".join)
_members = st.lists(
    st.one_of(
        st.tuples(_few, st.just(FILE), st.sampled_from("xy")),
        st.tuples(_few, st.just(DIRECTORY), st.sampled_from("xy")),
        st.tuples(_few, st.just(LINK), _few),
    ),
    max_size=8,
)


def _links_to_replaced_links(members: list[Member]) -> bool:
    """Tell whether a link points to a name that is a file first and a link later: see below."""
    kinds: dict[str, set[MemberKind]] = {}
    for path, kind, _ in members:
        kinds.setdefault(path, set()).add(kind)
    return any(kind is LINK and len(kinds.get(said, ())) > 1 for _, kind, said in members)


@given(members=_members)
def test_build_tree_makes_what_dictionaries_make(members: list[Member]) -> None:
    if _links_to_replaced_links(members):
        return
    try:
        expected = _expected(members)
    except ValueError:
        with pytest.raises(ImageContentError):
            _build(members)
        return
    assert _build(members) == expected


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("", FILE, "x")], "the root is something else as well"),
        (
            [("", DIRECTORY, "x"), ("", LINK, "a"), ("a", FILE, "x")],
            "the root is something else as well",
        ),
        ([("a", FILE, "x"), ("a/b", FILE, "y")], "'a' is a directory and something else"),
        ([("a/b/c", FILE, "x"), ("a/b", LINK, "a/b/c")], "'a/b' is a directory and something"),
        ([("a", DIRECTORY, "x"), ("a", FILE, "y")], "'a' is a directory and something else"),
        ([("a", LINK, "b")], "'a' points to 'b', which the layer lacks"),
        ([("a", LINK, "a")], "'a' points to 'a', which the layer lacks"),
        ([("a", LINK, "b"), ("b", LINK, "a")], "'a' points to 'b', which the layer lacks"),
        ([("d", DIRECTORY, "x"), ("a", LINK, "d")], "'a' points to 'd', which the layer lacks"),
        ([("d/x", FILE, "x"), ("a", LINK, "d")], "'a' points to 'd', which the layer lacks"),
    ],
)
def test_build_tree_refuses(members: list[Member], message: str) -> None:
    with refused(
        ImageContentError, message, hint="the image is malformed or hostile; do not use it"
    ):
        _build(members)


def test_build_tree_follows_a_name_that_became_a_link() -> None:
    """A link before gets the file that the name was; a link after, what the name is."""
    paths, _ = _build([
        ("a", FILE, "old"),
        ("x", FILE, "new"),
        ("before", LINK, "a"),
        ("a", LINK, "x"),
        ("after", LINK, "a"),
    ])
    assert (paths["before"], paths["a"], paths["after"]) == (
        _word("old"),
        _word("new"),
        _word("new"),
    )


def test_build_tree_limits_the_directories_that_are_not_described() -> None:
    with pytest.raises(ImageContentError, match="more than 100000 directories that it does not"):
        _build([(f"{number}/a", FILE, "x") for number in range(100_001)])
