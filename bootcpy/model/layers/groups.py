"""Which layers are taken in together: small ones, which cost more to begin than to read. Pure."""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from bootcpy.model.base.size import KIB, MIB

_SMALL_BYTES: Final = 64 * KIB  # as much as a pipe holds: it is delivered before it is read
_GROUP_BYTES: Final = 1 * MIB
_GROUP: Final = 16  # each holds a connection to the registry open while it waits

_Layer = TypeVar("_Layer")


def group_layers(layers: Iterable[_Layer], size_of: Callable[[_Layer], int]) -> list[list[_Layer]]:
    """Return layers in groups, in order; large ones, or of unknown size, alone.

    `size_of` tells a layer's bytes; they are negative when nobody knows.
    """
    groups: list[list[_Layer]] = []
    left_bytes = -1  # in the last group; none is open
    for layer in layers:
        size_bytes = size_of(layer)
        if not 0 <= size_bytes <= _SMALL_BYTES:
            groups.append([layer])
            left_bytes = -1
        elif size_bytes <= left_bytes and len(groups[-1]) < _GROUP:
            groups[-1].append(layer)
            left_bytes -= size_bytes
        else:
            groups.append([layer])
            left_bytes = _GROUP_BYTES - size_bytes
    return groups
