"""The house rules that a program can look after; import-linter has those about imports."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PACKAGE = _ROOT / "bootcpy"
_FLOORS = ("cli", "verbs", "ostree", "system", "model")
_MOST_FILES = 16  # of a folder, with its __init__.py
_MOST_LINES = 400
_MODULES = sorted(_PACKAGE.rglob("*.py"))


def test_a_public_class_has_a_name_of_its_own() -> None:
    found = defaultdict(set)
    for module in _MODULES:
        for node in ast.parse(module.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].add(str(module.relative_to(_ROOT)))
    assert len(found) > 100
    assert {name: modules for name, modules in found.items() if len(modules) > 1} == {}


@pytest.mark.parametrize("folder", sorted({module.parent for module in _MODULES}), ids=str)
def test_a_folder_is_seen_at_a_glance(folder: Path) -> None:
    assert 0 < len(list(folder.glob("*.py"))) <= _MOST_FILES


def test_files_are_short() -> None:
    lines = {
        str(module.relative_to(_ROOT)): len(module.read_text(encoding="utf-8").splitlines())
        for module in _MODULES
    }
    assert {name: count for name, count in lines.items() if count > _MOST_LINES} == {}


def test_unit_tests_are_in_the_room_of_what_they_test() -> None:
    rooms = {module.parent.relative_to(_PACKAGE) for module in _MODULES}
    tests = [path for floor in _FLOORS for path in (_ROOT / "tests/unit" / floor).rglob("test_*")]
    assert len(tests) > len(_FLOORS)
    assert {path.parent.relative_to(_ROOT / "tests/unit") for path in tests} <= rooms
