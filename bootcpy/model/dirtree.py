"""A dirtree object of ostree as bytes: the GVariant `(a(say)a(sayay))`, written and read.

Going through libostree's bindings takes several calls for every entry, which was most of the
time of a merge. By the GVariant specification, since none of these types needs alignment, a
container is its members one after the other, and behind them where each one ended, in numbers
as narrow as its whole size allows; where the last member of a tuple ended is left out.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, pairwise
from typing import Final, TypeVar

from bootcpy.errors import BootcpyError
from bootcpy.model.tree import Listing, TreeRef

_CHECKSUM_BYTES: Final = 32
_WIDTHS: Final = (1, 2, 4, 8)

_Entry = TypeVar("_Entry")


def serialise_dirtree(listing: Listing) -> bytes:
    """Return the object that holds `listing`: in normal form, names in the order of their bytes."""
    files = _array(
        _tuple(name, bytes.fromhex(checksum)) for name, checksum in _ordered(listing.files)
    )
    dirs = _array(
        _tuple(name, bytes.fromhex(ref.contents), bytes.fromhex(ref.meta))
        for name, ref in _ordered(listing.dirs)
    )
    return _framed(files + dirs, [len(files)])


def parse_dirtree(octets: bytes) -> Listing:
    """Return what a dirtree object holds.

    Raises:
        BootcpyError: it is none, or not in normal form.
    """
    try:
        width = _width_of(len(octets))
        middle = _last_number(octets, width)
        files = list(_members(octets[:middle]))
        dirs = list(_members(octets[middle : len(octets) - width]))
        listing = Listing()
        for member in files:
            name, (checksum,) = _entry(member, checksums=1)
            listing.files[name] = checksum
        for member in dirs:
            name, (contents, meta) = _entry(member, checksums=2)
            listing.dirs[name] = TreeRef(contents, meta)
    except (ValueError, IndexError) as e:
        raise BootcpyError(
            "a directory object of the repository is damaged",
            hint="see what `ostree fsck` says; the disk may be failing (`dmesg`)",
        ) from e
    return listing


def _ordered(entries: Mapping[str, _Entry]) -> list[tuple[str, _Entry]]:
    return sorted(entries.items(), key=lambda entry: entry[0].encode())


def _tuple(name: str, *checksums: bytes) -> bytes:
    """Return a name and its checksums as a tuple; offsets stand in reverse order."""
    text = name.encode() + b"\0"
    ends = [len(text) + index * _CHECKSUM_BYTES for index in range(len(checksums))]
    return _framed(text + b"".join(checksums), ends[::-1])


def _array(elements: Iterable[bytes]) -> bytes:
    listed = list(elements)
    return _framed(b"".join(listed), list(accumulate(map(len, listed))))


def _framed(body: bytes, ends: list[int]) -> bytes:
    """Return a container's members with its offsets behind them."""
    if not ends:
        return body
    width = next(width for width in _WIDTHS if len(body) + len(ends) * width < 1 << (8 * width))
    return body + b"".join(end.to_bytes(width, "little") for end in ends)


def _width_of(size: int) -> int:
    return next(width for width in _WIDTHS if size < 1 << (8 * width))


def _last_number(octets: bytes, width: int) -> int:
    """Return the offset that a container ends with: one of a place before it."""
    place = len(octets) - width
    if place < 0 or (offset := int.from_bytes(octets[place:], "little")) > place:
        raise ValueError("an offset that leads nowhere")
    return offset


def _members(octets: bytes) -> Iterator[bytes]:
    """Yield the elements of an array."""
    if not octets:
        return
    width = _width_of(len(octets))
    first_offset = _last_number(octets, width)
    ends = [
        int.from_bytes(octets[at : at + width], "little")
        for at in range(first_offset, len(octets), width)
    ]
    for start, end in pairwise([0, *ends]):
        if not start < end <= first_offset:
            raise ValueError("an element of no size")
        yield octets[start:end]


def _entry(octets: bytes, *, checksums: int) -> tuple[str, list[str]]:
    """Return the name and the checksums of one entry."""
    width = _width_of(len(octets))
    end = _last_number(octets, width)  # of the name, with its NUL
    if end + checksums * (_CHECKSUM_BYTES + width) != len(octets) or octets[end - 1]:
        raise ValueError("an entry of another size")
    name = octets[: end - 1].decode()
    found = octets[end : end + checksums * _CHECKSUM_BYTES].hex()
    size = 2 * _CHECKSUM_BYTES
    return name, [found[at : at + size] for at in range(0, len(found), size)]
