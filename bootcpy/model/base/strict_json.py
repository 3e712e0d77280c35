"""JSON of strangers: read within limits, and only if every reader would read the same.

Two programs that understand a document differently can be played off against each other,
so a key that stands twice is refused, and so is what JSON does not know (`NaN`) or what
cannot be written again (half a surrogate pair, a number beyond what others can hold).
"""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from bootcpy.model.base.printable import printable

# Nothing in an image nests deeper than a handful; readers written in C stop at 1000 or so.
DEEPEST = 64
# Bounds what a document takes once it is read: 100 bytes or so for each.
MOST_VALUES = 500_000
_LONGEST_NUMBER = 40  # digits; 2**64 has 20
_SHOWN = 80  # characters of a key


class StrictJsonError(ValueError):
    """The text is no JSON, or not within the limits; its text says why, in a few words."""


def parse_strict_json(text: str, *, most_characters: int) -> Any:  # noqa: ANN401 - any JSON
    """Return what the JSON `text` holds.

    Raises:
        StrictJsonError: it is too long, too deep, of too many values, ambiguous or no JSON.
    """
    if len(text) > most_characters:
        raise StrictJsonError(f"it is longer than {most_characters:,} characters")
    # More than there are, as strings may hold these characters too; but before any is made.
    if sum(map(text.count, ",[{")) > MOST_VALUES:
        raise StrictJsonError(f"it has more than {MOST_VALUES:,} values")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_mapping,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_number,
        )
        _require_shallow(value)
        if "\\u" in text or not text.isascii():
            _require_unicode(value)
    except RecursionError:
        raise StrictJsonError(f"it is nested deeper than {DEEPEST} levels") from None
    except StrictJsonError:
        raise
    except ValueError as e:
        raise StrictJsonError(f"it is not JSON: {e}") from e
    return value


def _mapping(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise StrictJsonError(f"the key {printable(key, limit=_SHOWN)!r} occurs twice")
        found[key] = value
    return found


def _refuse_constant(name: str) -> object:
    raise StrictJsonError(f"{name} is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise StrictJsonError(f"it has a number of {len(digits):,} digits")
    return int(digits)


def _number(text: str) -> float:
    if len(text) > _LONGEST_NUMBER or not math.isfinite(number := float(text)):
        raise StrictJsonError("it has a number that is too large or too long")
    return number


def _require_shallow(value: Any) -> None:  # noqa: ANN401 - any JSON
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return
    raise StrictJsonError(f"it is nested deeper than {DEEPEST} levels")


def _inside(value: Any) -> Iterable[Any]:  # noqa: ANN401 - any JSON
    match value:
        case dict():
            return value.values()
        case list():
            return value
        case _:
            return ()


def _require_unicode(value: Any) -> None:  # noqa: ANN401 - any JSON
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise StrictJsonError("a string has an incomplete surrogate pair") from None
