"""A dirtree object of ostree as bytes: the GVariant `(a(say)a(sayay))`, written and read.

Going through libostree's bindings takes several calls for every entry, which was most of the
time of a merge. By the GVariant specification, since none of these types needs alignment, a
container is its members one after the other, and behind them where each one ended, in numbers
as narrow as its whole size allows; where the last member of a tuple ended is left out.
"""

import struct
from array import array
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Final, TypeVar

from bootcpy.errors import BootcpyError
from bootcpy.model.layers.tree import Listing, TreeRef

_CHECKSUM_BYTES: Final = 32
_WIDTHS: Final = (1, 2, 4, 8)
_CODES: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}  # of struct
_NARROW_NAME: Final = 256 - _CHECKSUM_BYTES - 1  # of an entry whose offset takes one byte
_IN_MEMORY_BYTES: Final = 128 << 10
_ENDS_AT_ONCE: Final = 16384

Spool = Callable[[], IO[bytes]]

_Entry = TypeVar("_Entry")


class DirtreeWriter:
    """A dirtree object that grows; names come in the order of their bytes.

    With `spool`, which makes temporary files, little of a large one is in memory.
    """

    __slots__ = ("_dirs", "_files")

    def __init__(self, spool: Spool | None = None) -> None:
        """Begin empty."""
        self._files = _ArrayWriter(spool)
        self._dirs = _ArrayWriter(spool)

    def add_file(self, name: bytes, checksum: bytes) -> None:
        """Add a file, or symbolic link, by the checksum of its content object."""
        end = len(name) + 1
        if end < _NARROW_NAME:
            self._files.add(b"%b\0%b%c" % (name, checksum, end))
        else:
            self._files.add(_framed(name + b"\0" + checksum, [end]))

    def add_directory(self, name: bytes, contents: bytes, meta: bytes) -> None:
        """Add a directory by the checksums of its own objects."""
        end = len(name) + 1
        self._dirs.add(_framed(name + b"\0" + contents + meta, [end + _CHECKSUM_BYTES, end]))

    @property
    def body_bytes(self) -> int:
        """The size of the object without its offsets, which is cheap to know."""
        return self._files.body_bytes + self._dirs.body_bytes

    @property
    def size_bytes(self) -> int:
        """The size of the object."""
        both = self._files.size_bytes + self._dirs.size_bytes
        return both + _offset_width(both, 1)

    def pieces(self) -> Iterator[bytes | bytearray]:
        """Yield the object, once; the pieces are as large as what is kept in memory."""
        files_bytes = 0
        for piece in self._files.pieces():
            files_bytes += len(piece)
            yield piece
        both_bytes = files_bytes
        for piece in self._dirs.pieces():
            both_bytes += len(piece)
            yield piece
        yield files_bytes.to_bytes(_offset_width(both_bytes, 1), "little")


class _ArrayWriter:
    """An array of an object: the members so far, and where each of them ends."""

    __slots__ = ("_body", "_ends", "_file", "_spool", "body_bytes")

    def __init__(self, spool: Spool | None) -> None:
        self._spool = spool
        self._file: IO[bytes] | None = None
        self._body = bytearray()
        self.body_bytes = 0
        self._ends = array("I")  # of four bytes: no object comes near 4 GiB

    def add(self, element: bytes) -> None:
        self._body += element
        self.body_bytes += len(element)
        self._ends.append(self.body_bytes)
        if self._spool is not None and len(self._body) > _IN_MEMORY_BYTES:
            if self._file is None:
                self._file = self._spool()
            self._file.write(self._body)
            self._body.clear()

    @property
    def size_bytes(self) -> int:
        return self.body_bytes + len(self._ends) * _offset_width(self.body_bytes, len(self._ends))

    def pieces(self) -> Iterator[bytes | bytearray]:
        if not self._ends:
            return
        if self._file is not None:
            self._file.seek(0)
            while piece := self._file.read(_IN_MEMORY_BYTES):
                yield piece
            self._file.close()
        yield self._body
        width = _offset_width(self.body_bytes, len(self._ends))
        for start in range(0, len(self._ends), _ENDS_AT_ONCE):
            yield _offsets(self._ends[start : start + _ENDS_AT_ONCE], width)


def _offset_width(body_bytes: int, count: int) -> int:
    """Return how wide the offsets behind a container of so many bytes are."""
    return next(width for width in _WIDTHS if body_bytes + count * width < 1 << (8 * width))


def _offsets(ends: Sequence[int], width: int) -> bytes:
    return struct.pack(f"<{len(ends)}{_CODES[width]}", *ends)


def serialise_dirtree(listing: Listing) -> bytes:
    """Return the object that holds `listing`: in normal form, names in the order of their bytes."""
    writer = DirtreeWriter()
    for name, checksum in _ordered(listing.files):
        writer.add_file(name.encode(), bytes.fromhex(checksum))
    for name, ref in _ordered(listing.dirs):
        writer.add_directory(name.encode(), bytes.fromhex(ref.contents), bytes.fromhex(ref.meta))
    return b"".join(writer.pieces())


class DirtreeReader:
    """A dirtree object in its serialised form, entered only where it is looked at."""

    __slots__ = ("_dirs", "_files")

    def __init__(self, octets: bytes) -> None:
        """Find the two arrays.

        Raises:
            BootcpyError: it is no such object.
        """
        with _damage_told():
            width = _width_of(len(octets))
            middle = _last_number(octets, width)
            self._files = _ArrayReader(octets, 0, middle, checksums=1)
            self._dirs = _ArrayReader(octets, middle, len(octets) - width, checksums=2)

    def files(self, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the files, from the first whose name is not below `start`: name and checksum.

        Raises:
            BootcpyError: the object is damaged.
        """
        with _damage_told():
            yield from self._files.entries(start)

    def dirs(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the directories: name, and the checksums of contents and metadata in one.

        Raises:
            BootcpyError: the object is damaged.
        """
        with _damage_told():
            yield from self._dirs.entries(b"")

    def file(self, name: bytes) -> bytes | None:
        """Return the checksum of a file, None if there is none of that name.

        Raises:
            BootcpyError: the object is damaged.
        """
        with _damage_told():
            return self._files.find(name)

    def dir(self, name: bytes) -> bytes | None:
        """Return the checksums of a directory, None if there is none of that name.

        Raises:
            BootcpyError: the object is damaged.
        """
        with _damage_told():
            return self._dirs.find(name)


class _ArrayReader:
    """One of the arrays of an object."""

    __slots__ = ("_checksums", "_count", "_ends", "_first_offset", "_octets", "_start", "_width")

    def __init__(self, octets: bytes, start: int, end: int, *, checksums: int) -> None:
        self._octets, self._start, self._checksums = octets, start, checksums
        self._count = self._ends = self._width = self._first_offset = 0
        if start != end:
            self._width = _width_of(end - start)
            place = end - self._width
            if place < start:
                raise ValueError("an array too short for an offset")
            # Where the last element ends, the offsets begin.
            self._first_offset = int.from_bytes(octets[place:end], "little")
            self._ends = start + self._first_offset
            if self._ends > place:
                raise ValueError("an offset that leads nowhere")
            self._count = -(-(end - self._ends) // self._width)

    def _end(self, index: int) -> int:
        at = self._ends + index * self._width
        return int.from_bytes(self._octets[at : at + self._width], "little")

    def _entry(self, index: int) -> tuple[bytes, bytes]:
        start, end = self._end(index - 1) if index else 0, self._end(index)
        if not start < end <= self._first_offset:
            raise ValueError("an element of no size")
        return _entry(
            self._octets[self._start + start : self._start + end], checksums=self._checksums
        )

    def entries(self, from_name: bytes) -> Iterator[tuple[bytes, bytes]]:
        before = b""
        for index in range(self._lowest(from_name) if from_name else 0, self._count):
            entry = self._entry(index)
            # libostree does not ask, but what looks for names relies on it.
            if index and entry[0] <= before:
                raise ValueError("names out of order, or one twice")
            before = entry[0]
            yield entry

    def _lowest(self, name: bytes) -> int:
        """Return the index of the first entry whose name is not below `name`."""
        return bisect_left(range(self._count), name, key=lambda index: self._entry(index)[0])

    def find(self, name: bytes) -> bytes | None:
        index = self._lowest(name)
        if index == self._count:
            return None
        found, checksums = self._entry(index)
        return checksums if found == name else None


@contextmanager
def _damage_told() -> Generator[None]:
    """Have what cannot be made sense of be an error of ours."""
    try:
        yield
    except (ValueError, IndexError) as e:
        raise BootcpyError(
            "a directory object of the repository is damaged",
            hint="see what `ostree fsck` says; the disk may be failing (`dmesg`)",
        ) from e


def parse_dirtree(octets: bytes) -> Listing:
    """Return what a dirtree object holds.

    Raises:
        BootcpyError: it is none, or not in normal form.
    """
    reader = DirtreeReader(octets)
    with _damage_told():
        files = {name.decode(): checksum.hex() for name, checksum in reader.files()}
        dirs = {
            name.decode(): TreeRef(both[:_CHECKSUM_BYTES].hex(), both[_CHECKSUM_BYTES:].hex())
            for name, both in reader.dirs()
        }
    return Listing(files, dirs)


def _ordered(entries: Mapping[str, _Entry]) -> list[tuple[str, _Entry]]:
    return sorted(entries.items(), key=lambda entry: entry[0].encode())


def _framed(body: bytes, ends: list[int]) -> bytes:
    """Return a container's members with its offsets behind them."""
    return body + _offsets(ends, _offset_width(len(body), len(ends)))


def _width_of(size: int) -> int:
    return next(width for width in _WIDTHS if size < 1 << (8 * width))


def _last_number(octets: bytes, width: int) -> int:
    """Return the offset that a container ends with: one of a place before it."""
    place = len(octets) - width
    if place < 0 or (offset := int.from_bytes(octets[place:], "little")) > place:
        raise ValueError("an offset that leads nowhere")
    return offset


def _entry(octets: bytes, *, checksums: int) -> tuple[bytes, bytes]:
    """Return the name and the checksums of one entry."""
    width = _width_of(len(octets))
    end = _last_number(octets, width)  # of the name, with its NUL
    checksums_end = end + checksums * _CHECKSUM_BYTES
    if checksums_end + checksums * width != len(octets) or octets[end - 1]:
        raise ValueError("an entry of another size")
    return octets[: end - 1], octets[end:checksums_end]
