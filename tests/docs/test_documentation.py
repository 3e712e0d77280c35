"""The documentation and the program agree, in both directions."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from bootcpy import paths
from bootcpy.cli import app
from bootcpy.cli.commands import COMMANDS, Command, is_shown
from bootcpy.cli.parameters import parameters, summary
from bootcpy.cli.tree import function_of
from bootcpy.errors import ConfigurationError, ExitStatus
from bootcpy.model.boot.kargs import parse_kargs_d
from bootcpy.model.host import progress_schema
from bootcpy.model.image.reference import Transport
from bootcpy.model.install.config import merge_install_config
from bootcpy.system.host import systemd
from tools import update_generated
from tools.update_generated import MAN, ROOT, documented_commands, page_of, stale

PAGE_OF_UNITS = "bootc-units.7.md"
UNITS = ROOT / "bootcpy/data/usr/lib/systemd/system"
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for path in (*MAN.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "README.md")
)
# What the program sets, for the tools that it starts.
SET_FOR_OTHERS = {"HOME", "LANG", "LC_ALL", "OSTREE_GRUB2_EXEC"}


def section(page: str, title: str) -> str:
    """Return the text of one section of a manual page."""
    text = (MAN / page).read_text(encoding="utf-8")
    return text.partition(f"\n# {title}\n")[2].partition("\n# ")[0]


def terms(text: str) -> list[str]:
    """Return the terms of a Markdown definition list."""
    return re.findall(r"^(\S.*)\n:   ", text, re.MULTILINE)


def bold(text: str) -> list[str]:
    """Return what is bold in a text."""
    return re.findall(r"\*\*([^*]+)\*\*", text)


def names_of(command: Command, *, hidden: bool) -> set[str]:
    """Return the names of the options that help hides, or those that it shows."""
    found = [each for each in parameters(function_of(command)) if each.hidden is hidden]
    return {name for each in found for name in each.names}


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
    pages = {page_of(command).name for command in documented_commands()}
    assert {path.name for path in MAN.glob("*.8.md")} == pages | {"bootc.8.md"}


def test_every_command_that_help_shows_has_a_page() -> None:
    shown = {command.function for command in COMMANDS if is_shown(command)}
    assert shown <= {command.function for command in documented_commands()}


@pytest.mark.parametrize("command", documented_commands(), ids=words)
def test_an_option_that_help_hides_is_told_of(command: Command) -> None:
    told = bold(section(page_of(command).name, "OPTIONS"))
    assert names_of(command, hidden=True) <= set(told)


@pytest.mark.parametrize("command", COMMANDS, ids=words)
def test_every_command_and_option_says_what_it_does(command: Command) -> None:
    assert summary(function_of(command)).endswith(".")
    assert re.fullmatch(r"[a-z0-9-]+( [a-z0-9-]+)*", command.words)
    for each in parameters(function_of(command)):
        assert all(re.fullmatch(r"-[a-z]|--[a-z0-9-]+", name) for name in each.names)
        assert each.help.endswith((".", ")")), each


@pytest.mark.parametrize("command", COMMANDS, ids=words)
def test_the_listed_options_are_those_of_help(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["bootc", *command.words.split(), "--help"]) == 0
    said = capsys.readouterr().out.partition("\nOptions:\n")[2]
    # An option's line begins with two spaces and its names; what it means stands further right.
    shown = re.findall(r"^  (?:(-\w), +)?(--[\w-]+)", said, re.MULTILINE)
    shown_names = {name for pair in shown for name in pair if name} - {"-h", "--help"}
    assert names_of(command, hidden=False) == shown_names


@pytest.mark.parametrize("page", sorted(path.name for path in MAN.glob("*.md")))
def test_a_page_has_the_usual_sections(page: str) -> None:
    name, number, _ = page.rsplit(".", 2)
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
    found = set()
    for path in MAN.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        named = {
            f"{name}.{number}"
            for name, number in re.findall(r"\*\*(bootc[\w.-]*)\*\*\((\d)\)", text)
        }
        assert named <= ours, path.name
        found |= named
    assert len(found) > 10
    units = "".join(
        path.read_text(encoding="utf-8") for path in UNITS.glob("*.*") if path.is_file()
    )
    of_units = {f"{n}.{s}" for n, s in re.findall(r"man:(bootc[\w.-]*)\((\d)\)", units)}
    assert of_units
    assert of_units <= ours


def test_every_exit_status_is_documented() -> None:
    documented = [int(term) for term in terms(section("bootc.8.md", "EXIT STATUS"))]
    assert documented == sorted(ExitStatus)


def test_every_key_of_the_install_configuration_is_documented() -> None:
    with pytest.raises(ConfigurationError) as caught:
        merge_install_config([("x.toml", "[install]\nno-such-key = 1\n")], "x86_64")
    known = (caught.value.hint or "").removeprefix("known are: ").split(", ")
    keys = terms(section("bootc-install-config.5.md", "KEYS"))
    assert sorted(key for term in keys for key in bold(term)) == sorted(known)


def test_every_key_of_kargs_d_is_documented() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_kargs_d([("x.toml", "no-such-key = 1\n")], "x86_64")
    known = (caught.value.hint or "").removeprefix("known are ").split(" and ")
    documented = [term.strip("*") for term in terms(section("bootc-kargs.d.5.md", "KEYS"))]
    assert sorted(documented) == sorted(known)


def test_every_variable_is_documented() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "bootcpy").rglob("*.py")]
    readers = "".join(text for text in sources if "os.environ" in text)
    read = set(re.findall(r'"([A-Z][A-Z_]{3,}|container)"', readers)) - SET_FOR_OTHERS
    assert "BOOTC_STALL_TIMEOUT" in read
    told = [term for path in MAN.glob("*.md") for term in terms(section(path.name, "ENVIRONMENT"))]
    assert {name for term in told for name in bold(term)} == read


def test_the_places_of_credentials_are_documented() -> None:
    told = terms(section("bootc-images.7.md", "CREDENTIALS"))
    assert [Path(term.strip("*")) for term in told] == list(paths.ROOT_AUTH_FILES)


def test_every_transport_is_documented() -> None:
    told = {name for term in terms(section("bootc-images.7.md", "NAMES")) for name in bold(term)}
    assert {name.rstrip(":") for name in told if re.fullmatch(r"[a-z-]+:", name)} == set(Transport)


def test_every_unit_is_documented() -> None:
    units = {path.name for path in UNITS.iterdir() if path.is_file()}
    assert units
    assert (
        set(re.findall(r"(?<!\*)\*(bootc-[\w.-]+)\*", section(PAGE_OF_UNITS, "SYNOPSIS"))) == units
    )
    assert units <= set(bold((MAN / PAGE_OF_UNITS).read_text(encoding="utf-8")))


def test_every_message_id_is_documented() -> None:
    known = {value.hex for value in vars(systemd).values() if isinstance(value, UUID)}
    assert known
    assert {term.strip("*") for term in terms(section("bootc-updates.7.md", "JOURNAL"))} == known


def test_every_field_of_progress_is_documented() -> None:
    fields: set[str] = set()
    for event in progress_schema.schema()["oneOf"][1:]:
        fields |= set(event["properties"])
        fields |= set(event["properties"]["subtasks"]["items"]["properties"])
    told = bold(section("bootc-progress.7.md", "EVENTS"))
    assert "bytesTotal" in fields
    assert fields <= set(told)


def commands_shown(document: Path) -> Iterator[list[str]]:
    """Return the words after `bootc` of each command line in the code blocks of a document."""
    text = (ROOT / document).read_text(encoding="utf-8").replace("\\\n", " ")
    for line in re.findall(r"^(?:    |\$ )(.*)$", text, re.MULTILINE):
        if not re.search(r"(^|[\s;&=])(bootc)\s", line):
            continue
        said = re.split(r"[\s;&=]bootc\s|^bootc\s", line)[-1]
        yield shlex.split(re.split(r"[|;&>]|\s\d>", said)[0])


def test_command_lines_are_found_in_the_documents() -> None:
    assert len([line for document in DOCUMENTS for line in commands_shown(document)]) > 20


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_a_command_line_that_is_shown_exists(document: Path) -> None:
    for line in commands_shown(document):
        said = " ".join(line)
        found = [command for command in COMMANDS if f"{said} ".startswith(f"{command.words} ")]
        assert found, said
        known = names_of(found[0], hidden=False) | names_of(found[0], hidden=True)
        assert {word.partition("=")[0] for word in line if word.startswith("-")} <= known, said
