"""The layers of an image laid over each other: metadata only, no checkout.

Directories of the same name are read side by side, entry by entry, and the union is written as
it comes about, so that memory does not follow the number of files. A directory that only one
layer has is not looked into at all, unless that layer may hold whiteouts. Pure.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple, Protocol

from bootcpy.model.layers.dirtree import DirtreeReader, DirtreeWriter
from bootcpy.model.layers.limits import hostile, shown
from bootcpy.model.layers.records import CHECKSUM_BYTES
from bootcpy.model.layers.tar_paths import OPAQUE_MARKER, WHITEOUT_PREFIX

_PREFIX: Final = WHITEOUT_PREFIX.encode()
_OPAQUE: Final = OPAQUE_MARKER.encode()
_REMEMBERED: Final = 4096


class DirtreeStore(Protocol):
    """Where dirtree objects are kept."""

    def read_dirtree(self, contents: bytes) -> DirtreeReader:
        """Return the object with the checksum `contents`."""

    def new_dirtree(self) -> DirtreeWriter:
        """Return an empty dirtree object."""

    def write_dirtree(self, dirtree: DirtreeWriter) -> bytes:
        """Keep a dirtree object and return its checksum."""


class Stored(NamedTuple):
    """A stored directory: the checksums of its contents and of its own metadata."""

    contents: bytes
    meta: bytes

    @classmethod
    def of(cls, both: bytes) -> "Stored":
        """Return the directory that an entry names by its two checksums."""
        return cls(both[:CHECKSUM_BYTES], both[CHECKSUM_BYTES:])


@dataclass(frozen=True, slots=True, kw_only=True)
class UnionLayer:
    """A layer to be laid over others.

    Attributes:
        root: its tree.
        implicit: the directories that it did not describe itself: they keep the lower layer's
            metadata. None means that this is not known (the layer was imported by another
            program); then every directory that exists keeps its metadata, which is what those
            programs do.
        whiteouts: whether it may hide anything of the layers below. Without, a name that looks
            like a whiteout is one like any other.
    """

    root: Stored
    implicit: Collection[str] | None
    whiteouts: bool = True

    def describes(self, path: str) -> bool:
        """Tell whether it is known to have a member for the directory `path`."""
        return self.implicit is not None and path not in self.implicit


class _Part(NamedTuple):
    """A directory as one layer has it."""

    layer: UnionLayer
    stored: Stored


class _Found(NamedTuple):
    """What a layer has to say about one name in a directory.

    Attributes:
        name: which.
        order: of the layer; a whiteout comes before what the layer has itself.
        part: the layer, and the directory if it is one.
        content: a file's checksum; with neither, it is a whiteout.
    """

    name: bytes
    order: int
    part: _Part | None
    content: bytes | None


def unite_layers(store: DirtreeStore, layers: Sequence[UnionLayer]) -> Stored:
    """Lay layers over each other, the lowest first, obeying whiteouts; return the union.

    Raises:
        ImageContentError: a whiteout names nothing.
        BootcpyError: a directory in the repository is damaged.
    """
    return _Union(store).unite("", [_Part(layer, layer.root) for layer in layers])


class _Union:
    def __init__(self, store: DirtreeStore) -> None:
        self._store = store
        self._cleaned: dict[bytes, bytes] = {}  # contents of one layer, without its whiteouts

    def unite(self, path: str, parts: Sequence[_Part]) -> Stored:
        """Unite what layers have at `path`, the lowest first."""
        if len(parts) == 1:
            (part,) = parts
            if not part.layer.whiteouts:
                return part.stored
            return Stored(self._clean(path, part.stored.contents), part.stored.meta)
        readers = [self._store.read_dirtree(part.stored.contents) for part in parts]
        meta, lowest = parts[0].stored.meta, 0
        for index, (part, reader) in enumerate(zip(parts, readers, strict=True)):
            opaque = part.layer.whiteouts and reader.file(_OPAQUE) is not None
            if opaque:
                lowest = index
            if opaque or (index and part.layer.describes(path)):
                meta = part.stored.meta
        contents = parts[-1].stored.contents
        if all(part.stored.contents == contents and not part.layer.whiteouts for part in parts):
            return Stored(contents, meta)
        if lowest == len(parts) - 1:
            return Stored(self._clean(path, parts[lowest].stored.contents), meta)
        return Stored(self._merge(path, parts[lowest:], readers[lowest:]), meta)

    def _merge(self, path: str, parts: Sequence[_Part], readers: Sequence[DirtreeReader]) -> bytes:
        out = self._store.new_dirtree()
        found = merge(
            *(
                stream
                for index, (part, reader) in enumerate(zip(parts, readers, strict=True))
                for stream in _streams(path, 2 * index, part, reader)
            ),
            key=itemgetter(0, 1),
        )
        for name, said in groupby(found, itemgetter(0)):
            content: bytes | None = None
            below: list[_Part] = []
            for _, _, part, file in said:
                content = file
                if part is None:
                    below.clear()
                else:
                    below.append(part)
            if content is not None:
                out.add_file(name, content)
            elif below:
                out.add_directory(name, *self.unite(_join(path, name), below))
        return self._store.write_dirtree(out)

    def _clean(self, path: str, contents: bytes) -> bytes:
        """Return a directory without the whiteouts in it and below it, which hide nothing."""
        known = self._cleaned.get(contents)
        if known is not None:
            return known
        reader = self._store.read_dirtree(contents)
        changed: dict[bytes, Stored] = {}
        for name, both in reader.dirs():
            stored = Stored.of(both)
            below = self._clean(_join(path, name), stored.contents)
            if below != stored.contents:
                changed[name] = Stored(below, stored.meta)
        first = next(_whiteouts(path, reader), None)
        cleaned = contents
        if changed or first is not None:
            cleaned = self._store.write_dirtree(
                _copied(reader, self._store.new_dirtree(), changed, without=_PREFIX)
            )
        if len(self._cleaned) >= _REMEMBERED:
            self._cleaned.clear()
        self._cleaned[contents] = cleaned
        return cleaned


def _streams(
    path: str, order: int, part: _Part, reader: DirtreeReader
) -> Iterator[Iterator[_Found]]:
    """Yield what a layer has to say about a directory, in streams that are each in order."""
    marked = part.layer.whiteouts
    if marked:
        yield (_Found(name, order, None, None) for name in _whiteouts(path, reader))
    yield (
        _Found(name, order + 1, None, content)
        for name, content in reader.files()
        if not (marked and name.startswith(_PREFIX))
    )
    yield (
        _Found(name, order + 1, _Part(part.layer, Stored.of(both)), None)
        for name, both in reader.dirs()
    )


def _whiteouts(path: str, reader: DirtreeReader) -> Iterator[bytes]:
    """Yield the names that whiteouts in one directory hide; the marker of an opaque one as it is.

    Raises:
        ImageContentError: a whiteout names nothing.
    """
    for name, _ in reader.files(_PREFIX):
        if not name.startswith(_PREFIX):
            return
        if name == _PREFIX:
            raise hostile(f"the layer has a whiteout without a name in {shown('/' + path)}")
        yield name.removeprefix(_PREFIX)


def _copied(
    reader: DirtreeReader,
    out: DirtreeWriter,
    changed: Mapping[bytes, Stored],
    *,
    without: bytes,
) -> DirtreeWriter:
    """Write what a directory holds with some directories `changed`, and without some files."""
    for name, content in reader.files():
        if not name.startswith(without):
            out.add_file(name, content)
    for name, both in reader.dirs():
        out.add_directory(name, *changed.get(name, Stored.of(both)))
    return out


def _join(path: str, name: bytes) -> str:
    text = name.decode(errors="replace")
    return f"{path}/{text}" if path else text


# --------------------------------------------------------------------------- single directories


def find_directory(store: DirtreeStore, root: Stored, path: str) -> Stored | None:
    """Return the directory at `path` below `root`, None if there is none.

    Raises:
        BootcpyError: a directory in the repository is damaged.
    """
    found = root
    for name in path.split("/"):
        both = store.read_dirtree(found.contents).dir(name.encode())
        if both is None:
            return None
        found = Stored.of(both)
    return found


def without_file(store: DirtreeStore, root: Stored, path: str) -> Stored:
    """Return the tree `root` without the file `path`, which is in it.

    Raises:
        BootcpyError: a directory in the repository is damaged.
    """
    first, _, rest = path.partition("/")
    name = first.encode()
    reader, out = store.read_dirtree(root.contents), store.new_dirtree()
    for found, content in reader.files():
        if rest or found != name:
            out.add_file(found, content)
    for found, both in reader.dirs():
        below = Stored.of(both)
        if rest and found == name:
            below = without_file(store, below, rest)
        out.add_directory(found, *below)
    return Stored(store.write_dirtree(out), root.meta)
