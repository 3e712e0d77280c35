"""The union of trees, on a store in memory."""

import hashlib

import pytest

from bootcpy.errors import ImageContentError
from bootcpy.model.tree import (
    Directory,
    Listing,
    TreeRef,
    apply_layer,
    split_path,
)


class MemoryStore:
    """Dirtree objects in a dictionary; tells which were looked at, and which were written."""

    def __init__(self) -> None:
        self.objects: dict[str, Listing] = {}
        self.loaded: list[str] = []
        self.written: list[str] = []

    def load(self, contents: str) -> Listing:
        self.loaded.append(contents)
        stored = self.objects[contents]
        return Listing(dict(stored.files), dict(stored.dirs))

    def store(self, listing: Listing) -> str:
        text = repr((sorted(listing.files.items()), sorted(listing.dirs.items(), key=str)))
        checksum = hashlib.sha256(text.encode()).hexdigest()
        self.objects[checksum] = Listing(dict(listing.files), dict(listing.dirs))
        self.written.append(checksum)
        return checksum


# A tree as {"name": "content", "directory/": {...}}; "directory/ meta" gives its metadata.
Tree = dict[str, "str | Tree"]


def _make(store: MemoryStore, tree: Tree, meta: str = "-") -> Directory:
    directory = Directory(store, meta)
    for key, value in tree.items():
        if isinstance(value, str):
            directory.files[key] = value
        else:
            name, _, own = key.partition("/")
            directory.dirs[name] = _make(store, value, own.strip() or "-")
    return directory


def _stored(store: MemoryStore, tree: Tree, meta: str = "-") -> Directory:
    """Return the tree as one that is in the store and has not been looked into."""
    return Directory.from_ref(store, _make(store, tree, meta).write())


def _shown(directory: Directory) -> Tree:
    shown: Tree = dict(directory.files)
    for name, child in directory.dirs.items():
        shown[f"{name}/" if child.meta == "-" else f"{name}/ {child.meta}"] = _shown(child)
    return shown


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


# ------------------------------------------------------------------------------- the union


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
def test_apply_layer_unites(store: MemoryStore, lower: Tree, upper: Tree, expected: Tree) -> None:
    base = _stored(store, lower)
    apply_layer(base, _stored(store, upper), implicit=frozenset())
    assert _shown(base) == expected
    assert _shown(Directory.from_ref(store, base.write())) == expected


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
def test_apply_layer_takes_the_metadata_a_layer_describes(
    store: MemoryStore, implicit: frozenset[str] | None, root: str, etc: str
) -> None:
    base = _stored(store, {"usr/ old": {"etc/ old": {"a": "1"}, "lib/ old": {}}}, "old")
    upper = _stored(store, {"usr/ new": {"etc/ new": {"b": "2"}}}, "new")
    apply_layer(base, upper, implicit=implicit, whiteouts=False)
    usr = base.dirs["usr"]
    kept = implicit is None or "usr" in implicit
    assert (base.meta, usr.dirs["etc"].meta) == (root, etc)
    assert usr.meta == ("old" if kept else "new")
    assert usr.dirs["lib"].meta == "old"


def test_apply_layer_gives_new_directories_their_own_metadata(store: MemoryStore) -> None:
    base = _stored(store, {"a": "1"})
    upper = _stored(store, {"d/ x": {"e/ y": {".wh.z": "w"}}, "a/ z": {}})
    apply_layer(base, upper, implicit=None)
    assert _shown(base) == {"d/ x": {"e/ y": {}}, "a/ z": {}}


def test_apply_layer_gives_opaque_directories_the_upper_metadata(store: MemoryStore) -> None:
    base = _stored(store, {"d/ old": {"a": "1"}})
    apply_layer(base, _stored(store, {"d/ new": {".wh..wh..opq": "w"}}), implicit=None)
    assert _shown(base) == {"d/ new": {}}


def test_apply_layer_refuses_a_whiteout_without_a_name(store: MemoryStore) -> None:
    upper = _stored(store, {"usr/": {".wh.": "w"}})
    lowers: list[Tree] = [{"usr/": {}}, {}]
    for lower in lowers:
        with pytest.raises(ImageContentError, match="whiteout without a name in /usr"):
            apply_layer(_stored(store, lower), upper, implicit=None)


def test_apply_layer_looks_only_where_the_upper_layer_is(store: MemoryStore) -> None:
    base = _stored(store, {"d/": {"a": "1"}, "big/": {"b": "1", "deep/": {"c": "1"}}})
    upper = _stored(store, {"d/": {"a": "2"}, "new/": {"n": "1"}})
    untouched = {base.dirs["big"].stored(), upper.dirs["new"].stored()}
    store.loaded.clear()
    apply_layer(base, upper, implicit=None, whiteouts=False)
    base.write()
    assert not untouched & set(store.loaded)


def test_apply_layer_writes_only_what_is_new(store: MemoryStore) -> None:
    base = _stored(store, {"d/": {"a": "1", "e/": {"f": "1"}}, "same/": {"b": "1"}})
    upper = _stored(store, {"d/": {"c": "2", "e/": {"f": "1"}}, "n/": {"m/": {"x": "1"}}})
    kept = {base.dirs["d"].dirs["e"].stored(), base.dirs["same"].stored()}
    store.written.clear()
    apply_layer(base, upper, implicit=frozenset())
    base.write()
    assert len(store.written) == 2  # the root, and d
    assert not kept & set(store.written)


# ------------------------------------------------------------------------------- one tree


def test_write_of_an_untouched_directory_stores_nothing(store: MemoryStore) -> None:
    ref = _make(store, {"a": "1", "d/": {"b": "2"}}).write()
    count = len(store.objects)
    assert Directory.from_ref(store, ref).write() == ref
    assert len(store.objects) == count
    assert store.loaded == []


def test_write_is_the_same_however_the_tree_came_about(store: MemoryStore) -> None:
    forward = _make(store, {"a": "1", "b": "2", "d/": {}})
    backward = _make(store, {"d/": {}, "b": "2", "a": "1"})
    assert forward.write() == backward.write()


def test_an_empty_directory_can_be_written(store: MemoryStore) -> None:
    ref = Directory(store, "m").write()
    assert ref == TreeRef(ref.contents, "m")
    assert store.objects[ref.contents] == Listing()


@pytest.mark.parametrize(
    ("path", "found"),
    [("", "-"), ("d", "m"), ("d/e", "n"), ("/d//e/", "n"), ("x", None), ("d/x/y", None)],
)
def test_find(store: MemoryStore, path: str, found: str | None) -> None:
    place = _stored(store, {"d/ m": {"e/ n": {}, "a": "1"}}).find(path)
    assert (place.meta if place else None) == found


def test_split_path() -> None:
    assert split_path("a") == ("", "a")
    assert split_path("a/b/c") == ("a/b", "c")
