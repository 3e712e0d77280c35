import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcpy.errors import UsageError
from bootcpy.model.base.size import GIB, MIB, TIB, align_down, align_up, format_size, parse_size


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
    "text", ["", "G", "1.5G", "-1", "10g", "10GB", "10K", "1 2", "0", "0x10", "٣G", "²", "9" * 5000]
)
def test_parse_size_refuses(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert caught.value.hint


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
