import pytest

from bootcpy.model.base.listing import shown_few


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, ""),
        (1, "v0"),
        (5, "v0, v1, v2, v3, v4"),
        (6, "v0, v1, v2, v3, v4 and 1 more"),
        (100_001, "v0, v1, v2, v3, v4 and 99,996 more"),
    ],
)
def test_shown_few_names_the_first_and_counts_the_rest(count: int, expected: str) -> None:
    assert shown_few([f"v{number}" for number in range(count)]) == expected


def test_shown_few_is_told_how_many_and_how_to_part_them() -> None:
    assert shown_few(("a", "b", "c"), limit=2, separator="; ") == "a; b and 1 more"
    assert shown_few(("a", "b"), limit=0) == "2"
