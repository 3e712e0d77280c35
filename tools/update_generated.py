"""Write, or with `--check` compare, what the documentation takes from the code.

A manual page `docs/man/bootc-install-to-disk.8.md` is written by hand but for one marked
block, which holds the arguments and options of `bootc install to-disk`; the page of the
program itself has the list of commands there. The JSON Schema is generated whole.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bootcpy.cli.commands import COMMANDS, Command, is_shown
from bootcpy.cli.parameters import Parameter, parameters, summary
from bootcpy.cli.tree import function_of
from bootcpy.model.host.document_schema import schema_text

ROOT = Path(__file__).parent.parent
MAN = ROOT / "docs" / "man"
SCHEMA = ROOT / "docs" / "host-v1.schema.json"
UPDATE_COMMAND = "nox -s docs -- --write"

_BEGIN, _END = "<!-- BEGIN GENERATED -->", "<!-- END GENERATED -->"
_BLOCK = re.compile(f"{re.escape(_BEGIN)}\n.*?{re.escape(_END)}", re.DOTALL)


def documented_commands() -> tuple[Command, ...]:
    """Return the commands that have a manual page.

    That is what help shows, then what it leaves out but people may type. Helpers of the
    system have none, and neither have second names, which stand on the page of the first.
    """
    firsts: dict[str, Command] = {}
    for command in COMMANDS:
        if command.group != "internals":
            firsts.setdefault(command.function, command)
    return tuple(sorted(firsts.values(), key=lambda command: not is_shown(command)))


def page_of(command: Command) -> Path:
    """Return the manual page that documents `command`."""
    return MAN / f"bootc-{command.words.replace(' ', '-')}.8.md"


def options_block(command: Command) -> str:
    """Return the Markdown that lists the arguments, then the options, of `command`."""
    shown = [each for each in parameters(function_of(command)) if not each.hidden]
    entries = map(_entry, sorted(shown, key=lambda each: bool(each.names)))
    return "\n".join(entries) or "None.\n"


def _entry(parameter: Parameter) -> str:
    names = ", ".join(f"**{name}**" for name in parameter.names)
    values = " | ".join(f"**{value}**" for value in parameter.values) or f"*{parameter.metavar}*"
    term = " ".join(filter(None, (names, values if parameter.takes_value else "")))
    default = f" Default: {parameter.default}." if parameter.default is not None else ""
    return f"{term}\n:   {parameter.help}{default}\n"


def commands_block() -> str:
    """Return the Markdown that lists every documented command with its first line of help."""
    commands = documented_commands()
    names = [page_of(command).name.removesuffix(".8.md") for command in commands]
    summaries = [summary(function_of(command)) for command in commands]
    pairs = zip(names, summaries, strict=True)
    return "\n".join(f"**{name}**(8)\n:   {text}\n" for name, text in pairs)


def with_block(page: str, block: str) -> str:
    """Return the text of a manual page with its generated block replaced."""
    return _BLOCK.sub(lambda _: f"{_BEGIN}\n{block}{_END}", page)


def expected() -> Iterator[tuple[Path, str]]:
    """Return every file with generated parts, and the whole text it should have."""
    pages = {page_of(command): options_block(command) for command in documented_commands()}
    pages[MAN / "bootc.8.md"] = commands_block()
    for path, block in pages.items():
        yield path, with_block(path.read_text(encoding="utf-8") if path.exists() else "", block)
    yield SCHEMA, schema_text()


def stale() -> list[Path]:
    """Return the files that do not say what the code does, or are not there."""
    return [path for path, text in expected() if not text or not _is(path, text)]


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program; the status is 1 when `--check` finds something stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, only compare")
    options = parser.parse_args(arguments)
    found = stale()
    for path in found:
        if options.check or not path.exists():
            problem = "is out of date" if path.exists() else "does not exist"
            print(f"{path.relative_to(ROOT)} {problem}", file=sys.stderr)
    if options.check and found:
        print(f"run: {UPDATE_COMMAND}", file=sys.stderr)
        return 1
    for path, text in expected():
        if path in found and text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
