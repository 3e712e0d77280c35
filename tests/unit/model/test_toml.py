from contextlib import suppress
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcpy.errors import ConfigurationError
from bootcpy.model.toml import parse_toml


def test_parse_gives_plain_data() -> None:
    parsed = parse_toml("f.toml", 'a = ["x"]\n[b.c]\nd = 1\ne = true\nf = 2026-11-21\n')
    assert parsed == {"a": ["x"], "b": {"c": {"d": 1, "e": True, "f": date(2026, 11, 21)}}}
    assert type(parsed["a"]) is list
    assert type(parsed["a"][0]) is str
    assert type(parsed["b"]) is dict


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("a = [1,\n b", "f.toml:2: not valid TOML: ", ""),
        ("a = 1\n\n[[", "f.toml:", ""),
        ("\na =", "f.toml:2: not valid TOML: ", ""),
        ("a = 1\na = 2\n", "f.toml:2: not valid TOML: ", 'Key "a" already exists'),
        ("[a]\nb = 1\n[a.b]\nc = 1", "f.toml: not valid TOML: ", 'Key "b" already exists'),
    ],
)
def test_parse_refuses_with_file_and_line(text: str, start: str, end: str) -> None:
    with pytest.raises(ConfigurationError) as e:
        parse_toml("f.toml", text)
    assert e.value.message.startswith(start)
    assert e.value.message.endswith(end)
    assert "\n" not in e.value.message


@given(st.text())
def test_parse_has_one_kind_of_refusal(text: str) -> None:
    with suppress(ConfigurationError):
        assert type(parse_toml("f.toml", text)) is dict
