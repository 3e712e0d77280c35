"""The directories of a layer, made from its records in order: each is written when it is complete.

Of all that is above a file, only the directories that are still open are held. Pure: what is
written goes to a store that is handed in.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from bootcpy.errors import ImageContentError
from bootcpy.model.layers.dirtree import DirtreeWriter
from bootcpy.model.layers.limits import (
    DIRTREE_BYTES,
    IMPLICIT_BYTES,
    IMPLICIT_DIRECTORIES,
    hostile,
    shown,
    too_many,
)
from bootcpy.model.layers.records import MemberKind, Path, path_of

# Where files wait that podman's storage turned into links into the image's repository. No member
# can have this name, and nothing is left of it in the tree.
STASH: Final = ".."
_STASH: Final = STASH.encode()


class TreeSink(Protocol):
    """Where directories go."""

    def new_dirtree(self) -> DirtreeWriter:
        """Return an empty dirtree object."""

    def write_dirtree(self, dirtree: DirtreeWriter) -> bytes:
        """Keep a dirtree object and return its checksum."""

    def implicit_metadata(self, uid: int, gid: int) -> bytes:
        """Return the checksum of the metadata of a directory that the layer does not describe."""


@dataclass(frozen=True, slots=True)
class LayerTree:
    """The root directory, by the checksums of its contents and metadata.

    Attributes:
        contents: of the root.
        meta: of the root.
        implicit: directories the layer has files in but does not describe.
    """

    contents: bytes
    meta: bytes
    implicit: tuple[str, ...]


@dataclass(slots=True)
class _Open:
    """A directory that is not complete yet.

    Attributes:
        key: its path.
        dirtree: what is in it so far.
        meta: its metadata, None while no member describes it.
        first: number and owner of the member that came first, of all in it.
        last_file: the name of the last file in it.
    """

    key: bytes
    dirtree: DirtreeWriter
    meta: bytes | None
    first: tuple[int, int, int] | None
    last_file: bytes = b""


@dataclass(slots=True)
class _Builder:
    sink: TreeSink
    open: list[_Open] = field(default_factory=list)
    implicit: list[str] = field(default_factory=list)
    implicit_bytes: int = 0

    def add(self, path: Path, content: bytes | None) -> None:
        """Add what is at one path; `content` is that of a hard link."""
        if path.kinds > 1:
            raise _two_kinds(path.key)
        above, _, name = path.key.rpartition(b"\0")
        if self.open[-1].key != above:
            while not _is_in(path.key, self.open[-1].key):
                self.close()
            self.descend(above)
        holder = self.open[-1]
        first = path.first.number, path.first.uid, path.first.gid
        if path.last.kind is MemberKind.DIRECTORY:
            self.enter(path.key, name, path.last.payload, first)
            return
        if holder.first is None or first < holder.first:
            holder.first = first
        holder.last_file = name
        holder.dirtree.add_file(name, path.last.payload if content is None else content)
        if holder.dirtree.body_bytes > DIRTREE_BYTES:
            raise _too_large(holder.key)

    def descend(self, key: bytes) -> None:
        """Enter the directories down to `key`, which no member describes."""
        while (known := self.open[-1].key) != key:
            below = len(known) + 1 if known else 0
            name = key[below:].partition(b"\0")[0]
            self.enter(key[: below + len(name)], name, None, None)

    def enter(
        self, key: bytes, name: bytes, meta: bytes | None, first: tuple[int, int, int] | None
    ) -> None:
        if self.open[-1].last_file == name:
            raise _two_kinds(key)
        self.open.append(_Open(key, self.sink.new_dirtree(), meta, first))

    def close(self) -> None:
        """Write the innermost directory, and add it to the one it is in."""
        done = self.open.pop()
        holder = self.open[-1]
        if done.first is not None and (holder.first is None or done.first < holder.first):
            holder.first = done.first
        if _is_stashed(done.key):
            return
        name = done.key.rpartition(b"\0")[2]
        contents, meta = self.write(done)
        holder.dirtree.add_directory(name, contents, meta)
        if holder.dirtree.body_bytes > DIRTREE_BYTES:
            raise _too_large(holder.key)

    def write(self, done: _Open) -> tuple[bytes, bytes]:
        meta = done.meta
        if done.dirtree.size_bytes > DIRTREE_BYTES:
            raise _too_large(done.key)
        if meta is None:
            self.note_implicit(done.key)
            _, uid, gid = done.first or (0, 0, 0)
            meta = self.sink.implicit_metadata(uid, gid)
        return self.sink.write_dirtree(done.dirtree), meta

    def note_implicit(self, key: bytes) -> None:
        self.implicit.append(path_of(key))
        self.implicit_bytes += len(key)
        if len(self.implicit) > IMPLICIT_DIRECTORIES or self.implicit_bytes > IMPLICIT_BYTES:
            raise too_many("directories that it does not describe", IMPLICIT_DIRECTORIES)


def build_tree(
    paths: Iterable[Path], links: Iterator[tuple[bytes, bytes]], sink: TreeSink
) -> LayerTree:
    """Write the directories of a layer and return the root.

    `paths` and `links`, which `resolve_links` makes, are in the order of their keys.

    Raises:
        ImageContentError: a name is a directory and something else as well, or there are
            more names in a directory than an object holds.
    """
    builder = _Builder(sink)
    builder.open.append(_Open(b"", sink.new_dirtree(), None, None))
    link = next(links, None)
    for path in paths:
        if not path.key:
            if path.kinds > 1 or path.last.kind is not MemberKind.DIRECTORY:
                raise _two_kinds(path.key)
            builder.open[0].meta = path.last.payload
            continue
        content = None
        if path.last.kind is MemberKind.LINK:
            assert link is not None  # noqa: S101 - there is one for each, in the same order
            assert link[0] == path.key  # noqa: S101
            content, link = link[1], next(links, None)
        builder.add(path, content)
    while len(builder.open) > 1:
        builder.close()
    root = builder.open[0]
    root.first = None  # of a root that no member describes, nobody is the owner
    contents, meta = builder.write(root)
    return LayerTree(contents, meta, tuple(builder.implicit))


def _is_in(key: bytes, directory: bytes) -> bool:
    return not directory or key.startswith(directory + b"\0")


def _is_stashed(key: bytes) -> bool:
    return key == _STASH or key.startswith(_STASH + b"\0")


def _two_kinds(key: bytes) -> ImageContentError:
    what = f"{shown(path_of(key))} is a directory and" if key else "the root is"
    return hostile(f"the layer contradicts itself: {what} something else as well")


def _too_large(key: bytes) -> ImageContentError:
    return hostile(
        f"the layer has more names in {shown('/' + path_of(key))} than ostree stores in a directory"
    )
