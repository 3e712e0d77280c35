"""Sorting with little memory."""

import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootcpy.errors import NoSpaceError
from bootcpy.system.layers.spilled_sort import SpilledSort
from tests.refusals import refused


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    items=st.lists(st.binary(max_size=300), max_size=60),
    budget=st.sampled_from([1, 200, 1000, 1 << 20]),
)
def test_sort_yields_all_in_order_every_time(
    tmp_path: Path, items: list[bytes], budget: int
) -> None:
    with SpilledSort(tmp_path, budget_bytes=budget) as sorter:
        for item in items:
            sorter.add(item)
        assert list(sorter) == list(sorter) == sorted(items)
        assert bool(sorter) is bool(items)


def test_sort_takes_items_larger_than_what_is_read_at_once(tmp_path: Path) -> None:
    items = [bytes([number]) * (100_000 + number) for number in range(9)]
    with SpilledSort(tmp_path, budget_bytes=250_000) as sorter:
        for item in reversed(items):
            sorter.add(item)
        assert list(sorter) == items


def test_sort_leaves_no_file(tmp_path: Path) -> None:
    with SpilledSort(tmp_path, budget_bytes=1) as sorter:
        sorter.add(b"a")
        assert os.listdir(tmp_path) == []  # noqa: PTH208
        assert list(sorter) == [b"a"]


def test_sort_tells_that_the_disk_is_full() -> None:
    full = Path("/dev/full")
    with SpilledSort(full, budget_bytes=1) as sorter:
        sorter._file = full.open("r+b", buffering=0)  # noqa: SLF001 - no disk is full at hand
        with refused(
            NoSpaceError,
            "cannot be sorted: No space left",
            hint="free some space, and run the command again",
        ):
            sorter.add(b"a")
