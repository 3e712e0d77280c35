"""Directory trees as ostree stores them: metadata only, no checkout.

A tree is known by the checksum of its dirtree object; what is in it is loaded when it
is looked at.
"""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class TreeRef:
    """A stored directory: the checksums of its contents and of its own metadata."""

    contents: str
    meta: str


@dataclass(slots=True)
class Listing:
    """What a dirtree object holds: file names to content checksums, and directories."""

    files: dict[str, str] = field(default_factory=dict)
    dirs: dict[str, TreeRef] = field(default_factory=dict)


class TreeStore(Protocol):
    """Where dirtree objects are kept."""

    def load(self, contents: str) -> Listing:
        """Return what the dirtree object `contents` holds."""

    def store(self, listing: Listing) -> str:
        """Write a dirtree object and return its checksum."""


class Directory:
    """A directory that can be changed; loaded from the store when first looked into."""

    __slots__ = ("_dirs", "_files", "_found", "_origin", "_store", "meta")

    def __init__(self, store: TreeStore, meta: str, origin: str | None = None) -> None:
        """Begin empty, or as the stored directory whose contents are `origin`."""
        self._store = store
        self.meta = meta
        self._origin = origin
        self._found: tuple[str, Listing] | None = None  # what was loaded, and its checksum
        self._files: dict[str, str] | None = None
        self._dirs: dict[str, Directory] | None = None

    @classmethod
    def from_ref(cls, store: TreeStore, ref: TreeRef) -> "Directory":
        """Return the stored directory `ref`, to be changed."""
        return cls(store, ref.meta, ref.contents)

    def _load(self) -> tuple[dict[str, str], dict[str, "Directory"]]:
        if self._files is None or self._dirs is None:
            listing = Listing() if self._origin is None else self._store.load(self._origin)
            if self._origin is not None:
                self._found = self._origin, Listing(dict(listing.files), listing.dirs)
            self._files = listing.files
            self._dirs = {
                name: Directory.from_ref(self._store, ref) for name, ref in listing.dirs.items()
            }
            self._origin = None
        return self._files, self._dirs

    @property
    def files(self) -> dict[str, str]:
        """The files in it: name to content checksum."""
        return self._load()[0]

    @property
    def dirs(self) -> dict[str, "Directory"]:
        """The directories in it."""
        return self._load()[1]

    def find(self, path: str) -> "Directory | None":
        """Return the directory at `path` below this one; the empty path is itself."""
        node: Directory | None = self
        for name in filter(None, path.split("/")):
            if node is None:
                return None
            node = node.dirs.get(name)
        return node

    def write(self) -> TreeRef:
        """Store what changed and return the directory as stored."""
        if self._files is None or self._dirs is None:
            if self._origin is not None:
                return TreeRef(self._origin, self.meta)
            return TreeRef(self._store.store(Listing()), self.meta)
        listing = Listing(self._files, {name: child.write() for name, child in self._dirs.items()})
        if self._found is not None and self._found[1] == listing:
            return TreeRef(self._found[0], self.meta)
        return TreeRef(self._store.store(listing), self.meta)


def split_path(path: str) -> tuple[str, str]:
    """Return the directory part and the last component of `path`."""
    directory, _, name = path.rpartition("/")
    return directory, name
