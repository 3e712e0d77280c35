"""What the documents for contributors say about the tree is true."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("CONTRIBUTING.md", "README.md", "docs/tutorial.md", "docs/on-disk-layout.md")
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
