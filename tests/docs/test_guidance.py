"""What the documents for contributors say about the tree is true."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootcpy import errors

ROOT = Path(__file__).parents[2]
PAGES = (
    "CONTRIBUTING.md",
    "README.md",
    "docs/tutorial.md",
    "docs/on-disk-layout.md",
    "docs/trust.md",
)
GUIDES = ("CONTRIBUTING.md", "AGENTS.md", "README.md")


@pytest.mark.parametrize("guide", GUIDES)
def test_a_named_path_exists(guide: str) -> None:
    text = (ROOT / guide).read_text(encoding="utf-8")
    named = re.findall(r"`((?:bootcpy|images|tests|tools|bench|docs|\.ci)/[\w/.-]*)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_relative_link_leads_somewhere(page: str) -> None:
    path = ROOT / page
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_tutorial_shows_the_example_as_it_is() -> None:
    shown = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    example = (ROOT / "images/examples/hello/Containerfile").read_text(encoding="utf-8")
    lines = [line for line in example.splitlines() if line and not line.startswith("#")]
    assert "".join(f"    {line}\n" for line in lines) in shown


def test_every_session_is_in_the_table() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "nox", "--list-sessions", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    sessions = set(re.findall(r'"session": "([\w-]+)"', listed.stdout)) - {"test"}
    table = re.findall(r"^\| `(\w+)` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert set(table) >= sessions


def test_the_guidance_for_agents_stays_short() -> None:
    assert len((ROOT / "AGENTS.md").read_text(encoding="utf-8").splitlines()) <= 40


def _without_hint() -> Iterator[str]:
    """Yield where one of our errors is made that says what is wrong, but not what to do."""
    kinds = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.BootcpyError)
    }
    for path in sorted((ROOT / "bootcpy").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                kind = kinds.get(node.func.id)
                if kind and not kind.usual_hint and "hint" not in [k.arg for k in node.keywords]:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_error_says_what_to_do() -> None:
    assert list(_without_hint()) == []
