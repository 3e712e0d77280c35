import json
import time

import pytest

from bootcpy.model.base.strict_json import DEEPEST, MOST_VALUES, StrictJsonError, parse_strict_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        (' {"a": [1, -2.5, true, null, "ä\\u00e4\\n"]} ', {"a": [1, -2.5, True, None, "ää\n"]}),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('{"a": {"a": 1}}', {"a": {"a": 1}}),
        (str(2**64), 2**64),
        ("[" * DEEPEST + "]" * DEEPEST, None),
    ],
)
def test_parse_strict_json(text: str, value: object) -> None:
    found = parse_strict_json(text, most_characters=1000)
    assert found == (json.loads(text) if value is None else value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is not JSON"),
        ("{", "it is not JSON"),
        ("{} {}", "it is not JSON: Extra data"),
        ("\ufeff{}", "it is not JSON"),
        ('{"a": 1, "b": 2, "a": 1}', "the key 'a' occurs twice"),
        ('{"\\u001b": 1, "\\u001b": 2}', r"the key '\\+x1b' occurs twice"),
        ("[NaN]", "NaN is not JSON"),
        ("[-Infinity]", "-Infinity is not JSON"),
        ("[1e999]", "a number that is too large"),
        ("[-1e999]", "a number that is too large"),
        ("9" * 41, "a number of 41 digits"),
        ("9" * 5000, "a number of 5,000 digits"),
        ("1." + "0" * 5000, "a number that is too large or too long"),
        ('"\\ud800"', "incomplete surrogate pair"),
        ('{"\\udc00": 1}', "incomplete surrogate pair"),
        ('"\udc80"', "incomplete surrogate pair"),
        ("[" * (DEEPEST + 2) + "]" * (DEEPEST + 2), "nested deeper than 64 levels"),
        ("[" * 200_000 + "]" * 200_000, "nested deeper than 64 levels"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested deeper than 64 levels"),
        (f"[{'[],' * MOST_VALUES}1]", "more than 500,000 values"),
        ('"' + "x" * 2_000_000 + '"', "longer than 2,000,000 characters"),
    ],
    ids=lambda text: text[:30],
)
def test_parse_strict_json_refuses(text: str, message: str) -> None:
    began = time.monotonic()
    with pytest.raises(StrictJsonError, match=message):
        parse_strict_json(text, most_characters=2_000_000)
    assert time.monotonic() - began < 5
