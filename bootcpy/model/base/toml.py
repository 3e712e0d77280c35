"""Reading TOML: the configuration files of images and installations.

An image decides what is in such a file, so what reading it costs has a limit. tomllib keeps
every beginning of a dotted key, which makes a long key cost its length squared.
"""

import re
import reprlib
import tomllib
from collections.abc import Sequence
from typing import Any

from bootcpy.errors import ConfigurationError
from bootcpy.model.base.size import LARGEST_CONFIGURATION_BYTES, format_size

_MOST_DOTS = 100  # in one line: a key cannot go on in the next one
_PLACE = re.compile(r" \(at (?:line (?P<line>\d+), column \d+|end of document)\)$")
_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\\]*"|'[^']*')"""  # of a dotted key
_KEY = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_HEADER = re.compile(rf"[ \t]*\[\[?[ \t]*({_KEY})[ \t]*\]\]?")
_SETTING = re.compile(rf"[ \t]*({_KEY})[ \t]*=")


def parse_toml(name: str, text: str) -> dict[str, Any]:
    """Return the tables of the file `name` as plain data.

    Raises:
        ConfigurationError: `text` is no TOML, or more of it than a configuration needs; the
            message names the line where that is known.
    """
    if len(text.encode(errors="surrogateescape")) > LARGEST_CONFIGURATION_BYTES:
        largest = format_size(LARGEST_CONFIGURATION_BYTES)
        raise ConfigurationError(f"{name} is larger than {largest}")
    for number, line in enumerate(text.split("\n"), start=1):
        if "\ufffd" in line:  # what stands for other bytes
            raise ConfigurationError(f"{name}:{number}: not valid TOML: it is not UTF-8 text")
        if line.count(".") > _MOST_DOTS:
            raise ConfigurationError(f"{name}:{number}: the line has more than {_MOST_DOTS} dots")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        what, place = str(e), _PLACE.search(str(e))
        number = int(place["line"]) if place and place["line"] else text.count("\n") + 1
        what = what[: place.start()] if place else what
        raise ConfigurationError(f"{name}:{number}: not valid TOML: {what}") from e
    except RecursionError as e:
        raise ConfigurationError(f"{name}: not valid TOML: it is nested too deep") from e
    except ValueError as e:  # Python converts no more than a few thousand digits
        raise ConfigurationError(f"{name}: not valid TOML: a number has too many digits") from e


def place_of(name: str, text: str, keys: Sequence[str]) -> str:
    """Return where in the valid `text` of the file `name` a key of nested tables is set.

    That is "name:line", or just "name" where the line does not show: tomllib does not tell,
    and a key can be spelt with escapes. What stands inside an inline table has its line.
    """
    table: tuple[str, ...] = ()
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if header := _HEADER.match(line):
            table = found = _parts(header[1])
            start = header[0]
        elif setting := _SETTING.match(line):
            found = (*table, *_parts(setting[1]))
            start = f"{setting[0]} {{}}"
        else:
            continue
        inside = header is None and found == tuple(keys)[: len(found)]
        if inside or found[: len(keys)] == tuple(keys):
            above = "\n".join(lines[: number - 1])
            return f"{name}:{number}" if _sets(f"{above}\n{start}", found) else name
    return name


def _parts(key: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_PART, key))


def _sets(text: str, keys: Sequence[str]) -> bool:
    """Tell whether a text that ends with the start of a line sets a key, and is no part of it.

    Lines of strings and lists can look like any other.
    """
    try:
        there: object = tomllib.loads(text)
    except (ValueError, RecursionError):  # also of a number with too many digits
        return False
    for key in keys:
        if not isinstance(there, dict) or key not in there:
            return False
        there = there[key]
    return True


def shown_value(value: object) -> str:
    """Return a value from a file for a message: short, however large or deep it is."""
    shortener = reprlib.Repr()
    shortener.maxstring = shortener.maxother = 80
    return shortener.repr(value)
