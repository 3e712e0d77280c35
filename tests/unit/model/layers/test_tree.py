"""Trees, on a store in memory."""

import hashlib

import pytest

from bootcpy.model.layers.tree import (
    Directory,
    Listing,
    TreeRef,
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
