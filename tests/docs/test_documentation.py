"""The documentation and the program agree, in both directions."""

import re

import pytest

from bootcpy.cli import app
from bootcpy.cli.commands import COMMANDS, Command
from bootcpy.errors import ConfigurationError, ExitStatus
from bootcpy.model.config import merge_install_config
from tools import update_generated
from tools.update_generated import MAN, page_of, parameters, stale, visible_commands


def section(page: str, title: str) -> str:
    """Return the text of one section of a manual page."""
    text = (MAN / page).read_text(encoding="utf-8")
    return text.partition(f"\n# {title}\n")[2].partition("\n# ")[0]


def terms(text: str) -> list[str]:
    """Return the terms of a Markdown definition list."""
    return re.findall(r"^(\S.*)\n:   ", text, re.MULTILINE)


def words(command: Command) -> str:
    return command.words


def test_what_is_generated_is_up_to_date() -> None:
    assert not stale(), f"run: {update_generated.UPDATE_COMMAND}"


def test_check_finds_a_page_that_is_out_of_date() -> None:
    command = next(command for command in COMMANDS if command.words == "status")
    text = page_of(command).read_text(encoding="utf-8")
    stale_text = text.replace("--format-version", "--fromat-version")
    assert stale_text != text
    block = update_generated.options_block(command)
    assert update_generated.with_block(stale_text, block) == text


def test_every_page_is_of_a_command() -> None:
    pages = {page_of(command).name for command in visible_commands()}
    assert {path.name for path in MAN.glob("*.8.md")} == pages | {"bootc.8.md"}


@pytest.mark.parametrize("command", COMMANDS, ids=words)
def test_every_command_and_option_says_what_it_does(command: Command) -> None:
    assert update_generated.summary(command).endswith(".")
    assert re.fullmatch(r"[a-z0-9-]+( [a-z0-9-]+)*", command.words)
    for each in parameters(command):
        assert all(re.fullmatch(r"-[a-z]|--[a-z0-9-]+", name) for name in each.names)
        assert each.help.endswith((".", ")")), each


@pytest.mark.parametrize("command", COMMANDS, ids=words)
def test_the_listed_options_are_those_of_help(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        app.main(["bootc", *command.words.split(), "--help"])
    said = capsys.readouterr().out.partition("\nOptions:\n")[2]
    # An option's line begins with two spaces and its names; what it means stands further right.
    shown = re.findall(r"^  (?:(-\w), +)?(--[\w-]+)", said, re.MULTILINE)
    shown_names = {name for pair in shown for name in pair if name} - {"-h", "--help"}
    assert {name for each in parameters(command) for name in each.names} == shown_names


@pytest.mark.parametrize("page", sorted(path.name for path in MAN.glob("*.md")))
def test_a_page_has_the_usual_sections(page: str) -> None:
    name, number, _ = page.split(".")
    text = (MAN / page).read_text(encoding="utf-8")
    assert text.startswith(f"% {name.upper()}({number})\n")
    assert section(page, "NAME").strip().startswith(name)
    wanted = ["NAME", "SYNOPSIS", "DESCRIPTION", "SEE ALSO"]
    if number == "8":
        wanted[3:3] = ["OPTIONS", "EXIT STATUS"]
    assert [
        title for title in re.findall(r"^# (.*)$", text, re.MULTILINE) if title in wanted
    ] == wanted


def test_references_between_pages_lead_somewhere() -> None:
    ours = {path.name.removesuffix(".md") for path in MAN.glob("*.md")}
    for path in MAN.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        named = {
            f"{name}.{number}"
            for name, number in re.findall(r"\*\*(bootc[\w-]*)\*\*\((\d)\)", text)
        }
        assert named <= ours, path.name


def test_every_exit_status_is_documented() -> None:
    documented = [int(term) for term in terms(section("bootc.8.md", "EXIT STATUS"))]
    assert documented == sorted(ExitStatus)


def test_every_key_of_the_install_configuration_is_documented() -> None:
    with pytest.raises(ConfigurationError) as caught:
        merge_install_config([("x.toml", "[install]\nno-such-key = 1\n")], "x86_64")
    known = (caught.value.hint or "").removeprefix("known are: ").split(", ")
    documented = [term.strip("*") for term in terms(section("bootc-install-config.5.md", "KEYS"))]
    assert sorted(documented) == sorted(known)
