"""The union of layers, on a store in memory."""

import hashlib
from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcpy.errors import ImageContentError
from bootcpy.model.layers.dirtree import DirtreeReader, DirtreeWriter
from bootcpy.model.layers.union import (
    Stored,
    UnionLayer,
    find_directory,
    unite_layers,
    without_file,
)
from tests.refusals import refused

# A tree as {"name": "content", "directory/": {...}}; "directory/ meta" gives its metadata.
Tree = dict[str, "str | Tree"]


class MemoryStore:
    """Dirtree objects in a dictionary; tells which were looked at, and which were written."""

    def __init__(self) -> None:
        self.objects: dict[bytes, bytes] = {}
        self.words: dict[bytes, str] = {}
        self.read: list[bytes] = []
        self.written: list[bytes] = []

    def read_dirtree(self, contents: bytes) -> DirtreeReader:
        self.read.append(contents)
        return DirtreeReader(self.objects[contents])

    def new_dirtree(self) -> DirtreeWriter:
        return DirtreeWriter()

    def write_dirtree(self, dirtree: DirtreeWriter) -> bytes:
        content = b"".join(dirtree.pieces())
        checksum = hashlib.sha256(content).digest()
        self.objects[checksum] = content
        self.written.append(checksum)
        return checksum

    def checksum(self, word: str) -> bytes:
        """Return a checksum that stands for `word`."""
        checksum = hashlib.sha256(word.encode()).digest()
        self.words[checksum] = word
        return checksum

    def stored(self, tree: Tree, meta: str = "-") -> Stored:
        out = DirtreeWriter()
        for key, value in sorted(tree.items(), key=lambda item: item[0].partition("/")[0].encode()):
            name, slash, own = key.partition("/")
            if isinstance(value, str):
                assert not slash
                out.add_file(name.encode(), self.checksum(value))
            else:
                out.add_directory(name.encode(), *self.stored(value, own.strip() or "-"))
        return Stored(self.write_dirtree(out), self.checksum(meta))

    def shown(self, root: Stored) -> Tree:
        reader = DirtreeReader(self.objects[root.contents])
        tree: Tree = {name.decode(): self.words[content] for name, content in reader.files()}
        for name, both in reader.dirs():
            below = Stored.of(both)
            meta = self.words[below.meta]
            key = f"{name.decode()}/" if meta == "-" else f"{name.decode()}/ {meta}"
            tree[key] = self.shown(below)
        return tree

    def unite(
        self,
        *trees: Tree,
        implicit: Collection[str] | None = frozenset(),
        whiteouts: bool = True,
    ) -> Tree:
        """Unite trees; the lowest hides nothing."""
        layers = [
            UnionLayer(root=self.stored(tree), implicit=implicit, whiteouts=whiteouts and index > 0)
            for index, tree in enumerate(trees)
        ]
        return self.shown(unite_layers(self, layers))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [
        ({}, {"a": "1"}, {"a": "1"}),
        ({"a": "1", "b": "1"}, {"a": "2"}, {"a": "2", "b": "1"}),
        ({"d/": {"a": "1"}}, {"d/": {"b": "2"}}, {"d/": {"a": "1", "b": "2"}}),
        ({"d/": {"a": "1"}, "e/": {}}, {}, {"d/": {"a": "1"}, "e/": {}}),
        # whiteouts
        ({"a": "1", "b": "1"}, {".wh.a": "w"}, {"b": "1"}),
        ({"d/": {"a": "1"}}, {".wh.d": "w"}, {}),
        ({}, {".wh.gone": "w"}, {}),
        ({"a": "1"}, {".wh.a": "w", "a": "2"}, {"a": "2"}),
        ({"d/": {"a": "1"}}, {".wh.d": "w", "d/": {"b": "2"}}, {"d/": {"b": "2"}}),
        ({"d/": {"a": "1", "b": "1"}}, {"d/": {".wh.a": "w"}}, {"d/": {"b": "1"}}),
        ({}, {"new/": {".wh.a": "w", "b": "2"}}, {"new/": {"b": "2"}}),
        ({}, {"d/": {"e/": {".wh.a": "w"}}}, {"d/": {"e/": {}}}),
        ({}, {"d/": {".wh.e": "w", "e/": {"a": "1"}}}, {"d/": {"e/": {"a": "1"}}}),
        # opaque directories
        (
            {"d/": {"a": "1", "e/": {"b": "1"}}},
            {"d/": {".wh..wh..opq": "w", "c": "2"}},
            {"d/": {"c": "2"}},
        ),
        ({}, {"d/": {".wh..wh..opq": "w"}}, {"d/": {}}),
        # one kind over another
        ({"a/": {"b": "1"}}, {"a": "2"}, {"a": "2"}),
        ({"a": "1"}, {"a/": {"b": "2"}}, {"a/": {"b": "2"}}),
        ({"a": "1"}, {"a/": {}}, {"a/": {}}),
        ({"d/": {"a/": {"b": "1"}}}, {"d/": {"a": "2"}}, {"d/": {"a": "2"}}),
    ],
)
def test_unite_layers(store: MemoryStore, lower: Tree, upper: Tree, expected: Tree) -> None:
    assert store.unite(lower, upper) == expected


def test_unite_layers_of_many(store: MemoryStore) -> None:
    """What one layer hides, a later one can bring back, and the last one counts."""
    united = store.unite(
        {"a": "1", "d/": {"x": "1", "y": "1"}, "e/": {"f": "1"}},
        {"a": "2", ".wh.d": "w", "e/": {"f/": {"g": "2"}}},
        {"d/": {"z": "3"}, ".wh.a": "w"},
        {"d/": {"x": "4"}, "e/": {".wh.f": "w"}},
    )
    assert united == {"d/": {"x": "4", "z": "3"}, "e/": {}}


def test_unite_layers_takes_whiteouts_out_of_the_lowest(store: MemoryStore) -> None:
    tree: Tree = {".wh.a": "w", "b": "1", "d/ x": {"e/": {".wh..wh..opq": "w", "c": "1"}}}
    expected: Tree = {"b": "1", "d/ x": {"e/": {"c": "1"}}}
    layer = UnionLayer(root=store.stored(tree), implicit=None)
    assert store.shown(unite_layers(store, [layer])) == expected
    base = UnionLayer(root=store.stored(tree), implicit=None, whiteouts=False)
    assert store.shown(unite_layers(store, [base])) == tree


@pytest.mark.parametrize(
    ("implicit", "root", "etc"),
    [
        (frozenset(), "new", "new"),  # both described: both count, as OCI has it
        (frozenset({""}), "old", "new"),
        (frozenset({"", "usr"}), "old", "new"),
        (frozenset({"", "usr/etc"}), "old", "old"),
        (None, "old", "old"),  # somebody else's layer: what exists keeps its metadata
    ],
)
def test_unite_layers_takes_the_metadata_a_layer_describes(
    store: MemoryStore, implicit: frozenset[str] | None, root: str, etc: str
) -> None:
    base = store.stored({"usr/ old": {"etc/ old": {"a": "1"}, "lib/ old": {}}}, "old")
    upper = store.stored({"usr/ new": {"etc/ new": {"b": "2"}}}, "new")
    united = unite_layers(
        store,
        [
            UnionLayer(root=base, implicit=None, whiteouts=False),
            UnionLayer(root=upper, implicit=implicit, whiteouts=False),
        ],
    )
    usr = "usr/ old" if implicit is None or "usr" in implicit else "usr/ new"
    assert store.words[united.meta] == root
    assert store.shown(united) == {usr: {f"etc/ {etc}": {"a": "1", "b": "2"}, "lib/ old": {}}}


def test_unite_layers_gives_new_directories_their_own_metadata(store: MemoryStore) -> None:
    upper: Tree = {"d/ x": {"e/ y": {".wh.z": "w"}}, "a/ z": {}}
    united = store.unite({"a": "1"}, upper, implicit=None)
    assert united == {"d/ x": {"e/ y": {}}, "a/ z": {}}


def test_unite_layers_gives_opaque_directories_the_upper_metadata(store: MemoryStore) -> None:
    upper: Tree = {"d/ new": {".wh..wh..opq": "w"}}
    assert store.unite({"d/ old": {"a": "1"}}, upper, implicit=None) == {"d/ new": {}}


@pytest.mark.parametrize("lower", [{"usr/": {}}, {}])
def test_unite_layers_refuses_a_whiteout_without_a_name(store: MemoryStore, lower: Tree) -> None:
    with refused(
        ImageContentError,
        "whiteout without a name in '/usr'",
        hint="the image is malformed or hostile; do not use it",
    ):
        store.unite(lower, {"usr/": {".wh.": "w"}})


def test_unite_layers_looks_only_where_two_layers_are(store: MemoryStore) -> None:
    big: Tree = {"b": "1", "deep/": {"c": "1"}}
    new: Tree = {"n": "1"}
    united = store.unite(
        {"d/": {"a": "1"}, "big/": big}, {"d/": {"a": "2"}, "new/": new}, whiteouts=False
    )
    assert united == {"d/": {"a": "2"}, "big/": big, "new/": new}
    assert not {store.stored(big).contents, store.stored(new).contents} & set(store.read)


def test_unite_layers_writes_only_what_is_new(store: MemoryStore) -> None:
    trees: list[Tree] = [
        {"d/": {"a": "1", "e/": {"f": "1"}}, "same/": {"b": "1"}},
        {"d/": {"c": "2", "e/": {"f": "1"}}, "n/": {"m/": {"x": "1"}}},
    ]
    layers = [
        UnionLayer(root=store.stored(tree), implicit=frozenset(), whiteouts=False) for tree in trees
    ]
    store.written.clear()
    unite_layers(store, layers)
    assert len(store.written) == 2  # the root, and d


# ------------------------------------------------------------------------ against a simple model


_NAMES = st.sampled_from(["a", "b", ".wh.a", ".wh.b", ".wh..wh..opq", "c.", "c"])
_WORDS = st.sampled_from(["1", "2"])


def _trees(depth: int) -> st.SearchStrategy[Tree]:
    files = st.dictionaries(_NAMES, _WORDS, max_size=4)
    if not depth:
        return files.map(dict)
    dirs = st.dictionaries(
        st.sampled_from(["a/", "b/", "c/", "d/", "d/ x"]), _trees(depth - 1), max_size=3
    )
    return st.builds(_both, files, dirs)


def _both(files: Tree, dirs: Tree) -> Tree:
    """Return a tree in which no name is two things."""
    tree: Tree = {}
    taken = set(files)
    for key, value in dirs.items():
        name = key.partition("/")[0]
        if name not in taken:
            taken.add(name)
            tree[key] = value
    return files | tree


def _laid_over(lower: Tree | None, upper: Tree) -> Tree:
    """Return the union of two trees, by the rules of the OCI specification, all described."""
    if lower is None or ".wh..wh..opq" in upper:
        lower = {}
    hidden = {name.removeprefix(".wh.") for name in upper if name.startswith(".wh.")}
    united = {key: value for key, value in lower.items() if key.partition("/")[0] not in hidden}
    for key, value in upper.items():
        name = key.partition("/")[0]
        if name.startswith(".wh."):
            continue
        same = [other for other in united if other.partition("/")[0] == name]
        below = united.pop(same[0]) if same else None
        if isinstance(value, str):
            united[key] = value
        else:
            united[key] = _laid_over(below if isinstance(below, dict) else None, value)
    return united


@given(trees=st.lists(_trees(2), min_size=1, max_size=4))
def test_unite_layers_is_what_laying_one_over_the_other_is(trees: list[Tree]) -> None:
    store = MemoryStore()
    layers = [UnionLayer(root=store.stored(tree), implicit=frozenset()) for tree in trees]
    expected: Tree = {}
    for tree in trees:
        expected = _laid_over(expected, tree)
    assert store.shown(unite_layers(store, layers)) == expected


# --------------------------------------------------------------------------- single directories


@pytest.mark.parametrize(
    ("path", "found"), [("d", "m"), ("d/e", "n"), ("x", None), ("d/x/y", None)]
)
def test_find_directory(store: MemoryStore, path: str, found: str | None) -> None:
    root = store.stored({"d/ m": {"e/ n": {}, "a": "1"}})
    place = find_directory(store, root, path)
    assert (store.words[place.meta] if place else None) == found


def test_without_file(store: MemoryStore) -> None:
    root = store.stored({"a": "1", "d/ m": {"a": "1", "e/": {}, "z": "2"}})
    assert store.shown(without_file(store, root, "d/a")) == {
        "a": "1",
        "d/ m": {"e/": {}, "z": "2"},
    }
