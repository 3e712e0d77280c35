"""How unpacked layers are cut and grouped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcpy.model.layers.parts import (
    Cut,
    Extent,
    ScannedDirectory,
    batches,
    cut,
    total_cost,
)


def _directory(
    path: str,
    *dirs: ScannedDirectory,
    size: int = 0,
    files: int = 0,
    whiteouts: tuple[str, ...] = (),
) -> ScannedDirectory:
    return ScannedDirectory(
        path, files=files, size_bytes=size, dirs=list(dirs), whiteouts=list(whiteouts)
    )


def _shown(parts: list[Cut]) -> dict[str, Extent]:
    return {part.directory.path: part.extent for part in parts}


def test_cut_always_divides_the_root_and_empties_api_directories() -> None:
    root = _directory("", _directory("usr", size=10), _directory("run"), _directory("proc"))
    assert _shown(cut(root, limit=1000)) == {
        "": Extent.FILES,
        "usr": Extent.TREE,
        "run": Extent.NOTHING,
        "proc": Extent.NOTHING,
    }


def test_cut_divides_what_is_larger_than_the_limit() -> None:
    usr = _directory(
        "usr", _directory("usr/lib", size=900), _directory("usr/bin", size=300), size=5
    )
    assert _shown(cut(_directory("", usr), limit=1000)) == {
        "": Extent.FILES,
        "usr": Extent.FILES,
        "usr/lib": Extent.TREE,
        "usr/bin": Extent.TREE,
    }


def test_cut_cannot_divide_a_directory_of_files() -> None:
    root = _directory("", _directory("usr", size=5000))
    assert _shown(cut(root, limit=1000))["usr"] is Extent.TREE


def test_cut_isolates_directories_with_whiteouts() -> None:
    share = _directory("usr/share", _directory("usr/share/doc", size=1), whiteouts=("gone",))
    usr = _directory("usr", share, _directory("usr/bin", size=1))
    assert _shown(cut(_directory("", usr), limit=1 << 30)) == {
        "": Extent.FILES,
        "usr": Extent.FILES,
        "usr/share": Extent.LISTED,
        "usr/share/doc": Extent.TREE,
        "usr/bin": Extent.TREE,
    }


def test_cut_lists_a_root_with_whiteouts() -> None:
    assert _shown(cut(_directory("", whiteouts=("opt",)), limit=1)) == {"": Extent.LISTED}


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (10, [[9], [5, 4], [3, 1]]),
        (100, [[9, 5, 4, 3, 1]]),
        (1, [[9], [5], [4], [3], [1]]),
    ],
)
def test_batches_put_large_parts_first(limit: int, expected: list[list[int]]) -> None:
    node = _directory("a")
    parts = [Cut(node, Extent.TREE, cost) for cost in (4, 1, 9, 3, 5)]
    grouped = batches(parts, limit=limit)
    assert [[part.cost for part in group] for group in grouped] == expected


def _trees(path: str = "") -> st.SearchStrategy[ScannedDirectory]:
    def build(depth: int, at: str) -> st.SearchStrategy[ScannedDirectory]:
        children = (
            st.just([])
            if depth == 0
            else st.lists(st.booleans(), max_size=3).flatmap(
                lambda marks: st.tuples(*[
                    build(depth - 1, f"{at}/{index}" if at else f"d{index}")
                    for index, _ in enumerate(marks)
                ]).map(list)
            )
        )
        return st.builds(
            ScannedDirectory,
            st.just(at),
            files=st.integers(0, 50),
            size_bytes=st.integers(0, 10**6),
            dirs=children,
            whiteouts=st.lists(st.just("gone"), max_size=1),
        )

    return build(3, path)


@given(_trees(), st.integers(1, 5 * 10**6))
def test_cut_covers_every_directory_exactly_once(root: ScannedDirectory, limit: int) -> None:
    parts = cut(root, limit=limit)
    covered: list[str] = []
    for part in parts:
        nodes = part.directory.walk() if part.extent is Extent.TREE else [part.directory]
        covered += [node.path for node in nodes]
        if part.extent is Extent.TREE:
            assert not any(node.whiteouts for node in part.directory.walk())
    assert sorted(covered) == sorted(node.path for node in root.walk())
    assert sum(part.cost for part in parts) == total_cost(root)
    assert sorted(map(id, parts)) == sorted(
        id(part) for group in batches(parts, limit=limit) for part in group
    )
