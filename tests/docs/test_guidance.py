"""What the documents for contributors say about the tree is true."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import takewhile
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
FOR_USERS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "SECURITY.md")
)
# Words that have another one in the glossary, and idioms that are hard to understand.
_OTHER_WORDS = {
    "encapsulated": "embedded",
    "ordinary": "derived of a layer, normal of anything else",
    "believed": "trusted, or used",
    "room": "free space",
    "state directory": "stateroot",
    "arrive": "applied",
    "belong into": "write it to",
    "in its way": "why it can fail",
    "goes before": "is used if both are set",
    "of yours": "your",
}
_FLOORS = ("cli", "verbs", "ostree", "system", "model")
GUIDES = ("CONTRIBUTING.md", "AGENTS.md", "README.md")


def _found(page: str, pattern: str) -> list[tuple[str, str]]:
    """Return what a pattern finds in a page, each with the page's name."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [(page, found) for found in re.findall(pattern, text)]


def test_a_named_path_exists() -> None:
    pattern = r"`((?:bootcpy|images|tests|tools|bench|docs|\.ci)/[\w/.-]*)`"
    named = [each for guide in GUIDES for each in _found(guide, pattern)]
    assert len(named) > 10
    assert [each for each in named if not (ROOT / each[1]).exists()] == []


def test_a_relative_link_leads_somewhere() -> None:
    links = [each for page in PAGES for each in _found(page, r"\]\(([^)#:]+)\)")]
    assert len(links) > 10
    wrong = [
        (page, link) for page, link in links if not (ROOT / page).parent.joinpath(link).exists()
    ]
    assert wrong == []


def test_the_tutorial_shows_the_example_as_it_is() -> None:
    shown = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    example = (ROOT / "images/examples/hello/Containerfile").read_text(encoding="utf-8")
    lines = [line for line in example.splitlines() if line and not line.startswith("#")]
    assert lines
    assert "".join(f"    {line}\n" for line in lines) in shown


def test_every_session_is_in_the_table() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "nox", "--list-sessions"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    sessions = set(re.findall(r"^[*-] ([\w-]+)", listed.stdout, re.MULTILINE)) - {"test"}
    assert {"lint", "unit", "system"} <= sessions
    table = re.findall(r"^\| `(\w+)` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert set(table) >= sessions


def _table(heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading that begins with `heading`."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    lines = text.partition(f"\n{heading}")[2].partition("\n|")[2].splitlines()
    rows = ["|" + lines[0], *takewhile(lambda line: line.startswith("|"), lines[1:])]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return [row for row in cells if not set("".join(row)) <= set("-")]


def test_every_path_in_the_guide_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    folders = "bootcpy|images|tests|tools|bench|docs"
    named = set(re.findall(rf"(?<![\w/.-])(?:{folders})/[\w/.-]*[\w/]", text))
    assert len(named) > 40
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_the_map_has_every_floor() -> None:
    told = [row[0].strip("`").rstrip("/") for row in _table("The package is divided twice")[1:]]
    assert told == [f"bootcpy/{floor}" for floor in _FLOORS]


def test_the_map_has_every_room_of_every_floor() -> None:
    header, *rows = _table("A *room* is a subject")
    told = {
        (floor, row[0])
        for row in rows
        for floor, cell in zip(header[2:], row[2:], strict=True)
        if cell
    }
    assert header[2:] == list(_FLOORS)
    assert told == {
        (floor, path.parent.name)
        for floor in _FLOORS
        for path in (ROOT / "bootcpy" / floor).glob("*/__init__.py")
    }


def test_every_question_has_its_answer_where_the_guide_says() -> None:
    _, *rows = _table("## Questions and where they are answered")
    assert len(rows) > 10
    for question, place, looked_for in rows:
        path = re.findall(r"`([\w/-]+\.\w+)`", place)[0]
        assert question.endswith("?")
        assert looked_for.strip('`"') in (ROOT / path).read_text(encoding="utf-8"), question


def test_the_message_that_the_first_hour_changes_is_in_program_and_test() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    message, program = re.findall(r"sed -i 's/(.*)/.*/' (\S+)", text)[0]
    test = re.findall(r"-- (tests/unit/\S+\.py)$", text, re.MULTILINE)[0]
    assert message in (ROOT / program).read_text(encoding="utf-8")
    assert message in (ROOT / test).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_a_link_within_a_page_leads_to_a_heading(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", heading).replace(" ", "-").lower() for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= slugs


def test_the_glossary_is_in_order_and_short() -> None:
    _, *rows = _table("## Glossary")
    words = [row[0].casefold() for row in rows]
    assert words == sorted(words)
    assert 25 < len(words) < 45


@pytest.mark.parametrize("page", FOR_USERS)
def test_a_page_for_users_has_the_words_of_the_glossary(page: str) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    found = [word for word in _OTHER_WORDS if re.search(rf"\b{word}\b", text, re.IGNORECASE)]
    assert [f"{word}: say {_OTHER_WORDS[word]}" for word in found] == []


def test_the_guidance_for_agents_stays_short() -> None:
    assert len((ROOT / "AGENTS.md").read_text(encoding="utf-8").splitlines()) <= 40


def _errors_made() -> Iterator[tuple[str, bool]]:
    """Yield where one of our errors is made, and whether it says what to do."""
    kinds = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.BootcpyError)
    }
    for path in sorted((ROOT / "bootcpy").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                kind = kinds.get(node.func.id)
                if kind:
                    hinted = bool(kind.usual_hint) or "hint" in [k.arg for k in node.keywords]
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", hinted


def test_every_error_says_what_to_do() -> None:
    made = dict(_errors_made())
    assert len(made) > 200
    assert [place for place, hinted in made.items() if not hinted] == []
