"""What fuzzing began with, and what it found, tried again one by one."""

from pathlib import Path

import pytest

from tools.fuzz.session import SEEDS
from tools.fuzz.target import all_targets, run


def _id(seed: Path) -> str:
    return f"{seed.parent.name}-{seed.name}"


@pytest.mark.parametrize("seed", sorted(SEEDS.glob("*/*")), ids=_id)
def test_no_input_ends_in_anything_but_a_refusal(seed: Path) -> None:
    run(all_targets()[seed.parent.name], seed.read_bytes())


def test_every_target_has_seeds_and_all_seeds_a_target() -> None:
    assert {each.name for each in SEEDS.iterdir() if any(each.iterdir())} == set(all_targets())
