"""Which layers are taken in together: small ones, which cost more to begin than to read. Pure."""

from collections.abc import Sequence
from typing import Final

from bootcpy.model.base.size import KIB, MIB

_SMALL_BYTES: Final = 64 * KIB  # as much as a pipe holds: it is delivered before it is read
_GROUP_BYTES: Final = 1 * MIB
_GROUP: Final = 16  # each holds a connection to the registry open while it waits


def group_layers(sizes_bytes: Sequence[int]) -> list[list[int]]:
    """Return the indexes of layers in groups, in order; large ones, or of unknown size, alone."""
    groups: list[list[int]] = []
    room_bytes = -1  # in the last group; none is open
    for index, size_bytes in enumerate(sizes_bytes):
        if not 0 <= size_bytes <= _SMALL_BYTES:
            groups.append([index])
            room_bytes = -1
        elif size_bytes <= room_bytes and len(groups[-1]) < _GROUP:
            groups[-1].append(index)
            room_bytes -= size_bytes
        else:
            groups.append([index])
            room_bytes = _GROUP_BYTES - size_bytes
    return groups
