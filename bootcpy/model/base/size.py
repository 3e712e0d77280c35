"""Sizes in bytes: units, what `--root-size` accepts, alignment, and how sizes are shown."""

import re

from bootcpy.errors import UsageError

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

LARGEST_CONFIGURATION_BYTES = 64 * KIB  # of one file that an image brings
MOST_DROP_INS = 1000  # in a directory of such files

_SIZE = re.compile(r"\s*([0-9]{1,18})\s*([A-Za-z]*)\s*")
# As bootc's parse_size_mib: a bare number is MiB; the short suffixes are binary too.
_UNITS = {
    "": MIB,
    "M": MIB,
    "MiB": MIB,
    "G": GIB,
    "GiB": GIB,
    "T": TIB,
    "TiB": TIB,
}


def parse_size(text: str) -> int:
    """Return the bytes that `text` names, as bootc's `--root-size` reads it.

    Raises:
        UsageError: it is no positive whole number with one of bootc's units.
    """
    match = _SIZE.fullmatch(text)
    if match is None or match[2] not in _UNITS:
        raise UsageError(
            f"{text!r} is not a size",
            hint="write a whole number of MiB, or add a unit: M, MiB, G, GiB, T, TiB",
        )
    size_bytes = int(match[1]) * _UNITS[match[2]]
    if size_bytes == 0:
        raise UsageError("the size 0 is too small", hint="give at least 1 MiB")
    return size_bytes


def align_up(size_bytes: int, alignment: int) -> int:
    """Return the smallest multiple of `alignment` that is not below `size_bytes`."""
    return -(-size_bytes // alignment) * alignment


def align_down(size_bytes: int, alignment: int) -> int:
    """Return the largest multiple of `alignment` that is not above `size_bytes`."""
    return size_bytes // alignment * alignment


def format_size(size_bytes: int) -> str:
    """Return the size for people: at most one decimal, the largest fitting binary unit."""
    for unit, name in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{size_bytes} B"
