"""A tar in one pass: its members, and the content of the one that was read last.

Limits are looked at before what they bound is read (`bootcpy.model.layers.limits`).
"""

import io
from collections.abc import Iterator
from typing import Final

from bootcpy.model.layers.limits import (
    EXTENDED_HEADERS,
    GLOBAL_PAX_BYTES,
    PATH_BYTES,
    PAX_BYTES,
    SPARSE_EXTENTS,
    corrupt,
    not_a_tar,
    too_many,
)
from bootcpy.model.layers.tar_headers import (
    BLOCK_BYTES,
    EXTENDED,
    GNU_SPARSE,
    LONG_LINK,
    LONG_NAME,
    PAX_GLOBAL,
    REGULAR,
    TarMember,
    checked_extents,
    finish,
    parse_gnu_sparse,
    parse_gnu_sparse_extension,
    parse_header,
    parse_map_lines,
    parse_pax,
    text,
    until_nul,
)

BUFFER_BYTES: Final = 1 << 20
_ZERO_BLOCK: Final = bytes(BLOCK_BYTES)
# A line of the map in a sparse file's content: at most that many digits, and a newline.
_MAP_LINE_BYTES: Final = 24


class _Extended:
    """What the extended headers before one member say."""

    __slots__ = ("count", "long_link", "long_name", "records")

    def __init__(self) -> None:
        self.count = 0
        self.records: dict[str, str] = {}
        self.long_name: str | None = None
        self.long_link: str | None = None


_NOTHING: Final = _Extended()


class TarReader:
    """The members of a tar, and the content of the last one, in one pass.

    Nothing is kept of a member but what `next` returned.
    """

    def __init__(self, source: io.RawIOBase) -> None:
        """Read from `source`, which is at the tar's beginning."""
        self._source = io.BufferedReader(source, BUFFER_BYTES)
        self._globals_bytes = 0
        self._left = 0  # of the member's content
        self._padding = 0  # behind it

    def next(self) -> TarMember | None:
        """Return the next member, None at the end.

        Raises:
            ImageContentError: a header is malformed, or the tar is truncated.
        """
        self._skip(self._left + self._padding)
        self._left = self._padding = 0
        extended = _NOTHING
        while (block := self._block(may_end=extended is _NOTHING)) is not None:
            member = parse_header(block)
            if member.kind in EXTENDED:
                extended = self._extend(_Extended() if extended is _NOTHING else extended, member)
            else:
                self._begin(member, block, extended)
                return member
        return None

    def read(self, size: int) -> bytes:
        """Return the next bytes of the content as it is stored; none at its end.

        Raises:
            ImageContentError: the tar is truncated.
        """
        wanted = min(size, self._left)
        chunk = self._source.read(wanted)
        if len(chunk) < wanted:
            raise corrupt("the layer is truncated")
        self._left -= wanted
        return chunk

    def content(self, member: TarMember) -> Iterator[bytes]:
        """Yield the whole content of the member that `next` returned, holes filled.

        Raises:
            ImageContentError: the tar is truncated.
        """
        if member.extents is None:
            while chunk := self.read(BUFFER_BYTES):
                yield chunk
            return
        place = 0
        for offset, length in (*member.extents, (member.size, 0)):
            while place < offset:
                hole = bytes(min(offset - place, BUFFER_BYTES))
                place += len(hole)
                yield hole
            while place < offset + length:
                chunk = self.read(min(offset + length - place, BUFFER_BYTES))
                place += len(chunk)
                yield chunk

    def require_end(self) -> None:
        """Refuse anything but zeros after the last member.

        Raises:
            ImageContentError: there is something else.
        """
        while chunk := self._source.read(BUFFER_BYTES):
            if chunk.count(0) != len(chunk):
                raise corrupt("the layer is corrupt: there is garbage after its members")

    def _block(self, *, may_end: bool) -> bytes | None:
        """Return the block of the next header, None at the end of the archive."""
        block = self._source.read(BLOCK_BYTES)
        if block and block != _ZERO_BLOCK:
            if len(block) < BLOCK_BYTES:
                raise corrupt("the layer is truncated")
            return block
        if not may_end:
            raise not_a_tar("it ends between the headers of a member")
        return None

    def _extend(self, extended: _Extended, header: TarMember) -> _Extended:
        """Take in an extended header."""
        extended.count += 1
        if extended.count > EXTENDED_HEADERS:
            raise too_many("extended headers for one member", EXTENDED_HEADERS)
        is_name = header.kind in {LONG_NAME, LONG_LINK}
        if not 0 <= header.size <= (PATH_BYTES + 1 if is_name else PAX_BYTES):
            raise not_a_tar(f"an extended header claims to have {header.size} bytes")
        octets = self._padded(header.size)
        if header.kind == LONG_NAME:
            extended.long_name = text(until_nul(octets)) or None
        elif header.kind == LONG_LINK:
            extended.long_link = text(until_nul(octets)) or None
        elif header.kind == PAX_GLOBAL:
            self._globals_bytes += header.size
            if self._globals_bytes > GLOBAL_PAX_BYTES:
                raise too_many("bytes of global headers", GLOBAL_PAX_BYTES)
            parse_pax(octets)  # well-formed it must be, but it says nothing of a member
        else:
            extended.records = parse_pax(octets)  # the last one counts
        return extended

    def _padded(self, size: int) -> bytes:
        octets = self._source.read(size + -size % BLOCK_BYTES)
        if len(octets) < size:
            raise corrupt("the layer is truncated")
        return octets[:size]

    def _begin(self, member: TarMember, block: bytes, extended: _Extended) -> None:
        """Finish the member, whose content is next."""
        numbers: list[int] | None = None
        if member.kind == GNU_SPARSE:
            numbers = self._gnu_map(member, block)
        finish(member, extended.records, extended.long_name, extended.long_link)
        if numbers is not None:
            member.extents = checked_extents(member, numbers)
        self._left = member.stored_size
        self._padding = -member.stored_size % BLOCK_BYTES
        if member.map_in_content:
            member.extents = checked_extents(member, self._map_in_content(member))

    def _gnu_map(self, member: TarMember, block: bytes) -> list[int]:
        member.kind = REGULAR
        numbers, more, member.size = parse_gnu_sparse(block)
        while more:
            if len(numbers) > 2 * SPARSE_EXTENTS:
                raise too_many("parts of one sparse file", SPARSE_EXTENTS)
            found, more = parse_gnu_sparse_extension(self._padded(BLOCK_BYTES))
            numbers += found
        return numbers

    def _map_in_content(self, member: TarMember) -> list[int]:
        before = self._left
        numbers = parse_map_lines(self._lines())
        self.read(-(before - self._left) % BLOCK_BYTES)  # what pads the map
        member.stored_size = self._left
        return numbers

    def _lines(self) -> Iterator[bytes]:
        """Yield lines of the content."""
        while True:
            line = self._source.readline(min(_MAP_LINE_BYTES, self._left))
            self._left -= len(line)
            if not line.endswith(b"\n"):
                raise not_a_tar("a sparse file has a malformed map")
            yield line[:-1]

    def _skip(self, count: int) -> None:
        while count:
            chunk = self._source.read(min(count, BUFFER_BYTES))
            if not chunk:
                raise corrupt("the layer is truncated")
            count -= len(chunk)
