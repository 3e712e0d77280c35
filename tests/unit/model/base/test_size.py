import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcpy.errors import UsageError
from bootcpy.model.base.size import GIB, MIB, TIB, align_down, align_up, format_size, parse_size
from tests.refusals import refused

_WRITE_UNITS = "write a whole number of MiB, or add a unit: M, MiB, G, GiB, T, TiB"


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("1", MIB),
        ("4096", 4096 * MIB),
        ("10M", 10 * MIB),
        ("10MiB", 10 * MIB),
        ("3G", 3 * GIB),
        ("3GiB", 3 * GIB),
        (" 2 T ", 2 * TIB),
        ("2TiB", 2 * TIB),
    ],
)
def test_parse_size_reads_bootc_units(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", _WRITE_UNITS),
        ("G", _WRITE_UNITS),
        ("1.5G", _WRITE_UNITS),
        ("-1", _WRITE_UNITS),
        ("10g", _WRITE_UNITS),
        ("10GB", _WRITE_UNITS),
        ("10K", _WRITE_UNITS),
        ("1 2", _WRITE_UNITS),
        ("0", "give at least 1 MiB"),
        ("0x10", _WRITE_UNITS),
        ("٣G", _WRITE_UNITS),
        ("²", _WRITE_UNITS),
        ("9" * 5000, _WRITE_UNITS),
    ],
)
def test_parse_size_refuses(text: str, hint: str) -> None:
    with refused(UsageError, hint=hint):
        parse_size(text)


@given(size=st.integers(0, 1 << 50), alignment=st.sampled_from([1, 512, 4096, MIB]))
def test_alignment_brackets_the_size(size: int, alignment: int) -> None:
    down, up = align_down(size, alignment), align_up(size, alignment)
    assert down <= size <= up
    assert up - down in {0, alignment}
    assert down % alignment == up % alignment == 0


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (512 * MIB, "512 MiB"),
        (GIB + GIB // 2, "1.5 GiB"),
        (20 * TIB, "20 TiB"),
    ],
)
def test_format_size_shows_the_largest_fitting_unit(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text
