import pytest

from bootcpy.model.image.difference import format_decimal_size, layer_diff, render_layer_diff
from bootcpy.model.image.oci import Manifest
from tests.unit.model.host.states import digest_of, record


def _manifest(*layers: tuple[str, int]) -> Manifest:
    named = tuple((digest_of(name), size_bytes) for name, size_bytes in layers)
    return Manifest.parse(record(layers=named).manifest_text)


def test_layer_diff_compares_by_digest() -> None:
    diff = layer_diff(_manifest(("a", 1), ("b", 2)), _manifest(("a", 1), ("c", 3), ("d", 4)))
    assert [layer.digest for layer in diff.total] == [digest_of(name) for name in "acd"]
    assert [layer.digest for layer in diff.removed] == [digest_of("b")]
    assert [layer.digest for layer in diff.added] == [digest_of(name) for name in "cd"]


def test_render_layer_diff_aligns_its_three_lines() -> None:
    diff = layer_diff(_manifest(("a", 999), ("b", 2)), _manifest(("a", 999), ("c", 1_500_000)))
    assert render_layer_diff(diff) == (
        "Total new layers: 2     Size: 1.5\u00a0MB",
        "Removed layers:   1     Size: 2 bytes",
        "Added layers:     1     Size: 1.5\u00a0MB",
    )


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0\u00a0kB"),
        (999_949, "999.9\u00a0kB"),
        (999_999, "1000.0\u00a0kB"),
        (12_345_678_901, "12.3\u00a0GB"),
    ],
)
def test_format_decimal_size_as_glib(size_bytes: int, text: str) -> None:
    assert format_decimal_size(size_bytes) == text
