"""How the layers of two manifests differ, as `bootc upgrade` prints it."""

from collections.abc import Iterable
from dataclasses import dataclass

from bootcpy.model.image.oci import Descriptor, Manifest

_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")
_NO_BREAK_SPACE = "\u00a0"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDiff:
    """The layers of the new manifest, and which came and went; layers compare by digest."""

    total: tuple[Descriptor, ...]
    removed: tuple[Descriptor, ...]
    added: tuple[Descriptor, ...]


def layer_diff(old: Manifest, new: Manifest) -> LayerDiff:
    """Return what changes from `old` to `new`."""
    before = {layer.digest for layer in old.layers}
    after = {layer.digest for layer in new.layers}
    return LayerDiff(
        total=new.layers,
        removed=tuple(layer for layer in old.layers if layer.digest not in after),
        added=tuple(layer for layer in new.layers if layer.digest not in before),
    )


def render_layer_diff(diff: LayerDiff) -> tuple[str, ...]:
    """Return bootc's three lines."""
    rows = (
        ("Total new layers:", diff.total),
        ("Removed layers:  ", diff.removed),
        ("Added layers:    ", diff.added),
    )
    return tuple(
        f"{label} {len(layers):<4}  Size: {format_decimal_size(_bytes(layers))}"
        for label, layers in rows
    )


def _bytes(layers: Iterable[Descriptor]) -> int:
    return sum(layer.size_bytes for layer in layers)


def format_decimal_size(size_bytes: int) -> str:
    """Return a size as GLib's g_format_size does: powers of 1000, one decimal, no line break."""
    if size_bytes < 1000:  # noqa: PLR2004 - the first unit
        return f"{size_bytes} byte{'' if size_bytes == 1 else 's'}"
    size = size_bytes / 1000
    for unit in _UNITS[:-1]:
        if size < 1000:  # noqa: PLR2004 - the next unit
            return f"{size:.1f}{_NO_BREAK_SPACE}{unit}"
        size /= 1000
    return f"{size:.1f}{_NO_BREAK_SPACE}{_UNITS[-1]}"
