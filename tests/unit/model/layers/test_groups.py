"""Which layers are taken in together."""

import pytest

from bootcpy.model.layers.groups import group_layers

KIB = 1024


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([], []),
        ([100], [[0]]),
        ([100, 200, 300], [[0, 1, 2]]),
        ([100, 65 * KIB, 100, 100], [[0], [1], [2, 3]]),  # a large one alone, and order is kept
        ([64 * KIB] * 17, [list(range(16)), [16]]),  # a mebibyte together
        ([10] * 40, [list(range(16)), list(range(16, 32)), list(range(32, 40))]),
        ([-1, -1, 5], [[0], [1], [2]]),  # of unknown size
        ([0, 0], [[0, 1]]),
        ([65 * KIB, 0], [[0], [1]]),
    ],
)
def test_group_layers(sizes: list[int], groups: list[list[int]]) -> None:
    assert group_layers(range(len(sizes)), sizes.__getitem__) == groups
