import tracemalloc
from contextlib import suppress
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcpy.errors import ConfigurationError
from bootcpy.model.base.toml import parse_toml, place_of, shown_value


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
        ("a = 1\n\n[[", "f.toml:3: not valid TOML: ", ""),
        ("\na =", "f.toml:2: not valid TOML: ", ""),
        ("a = 1\na = 2\n", "f.toml:2: not valid TOML: ", "Cannot overwrite a value"),
        ("[a]\nb = 1\n[a.b]\nc = 1", "f.toml:3: not valid TOML: ", ""),
        ("\n#" * 32_769, "f.toml is larger than 64 KiB", ""),
        ("# " + "ü" * 32_768, "f.toml is larger than 64 KiB", ""),
        ("x = " + "[" * 20_000, "f.toml: not valid TOML: it is nested too deep", ""),
        ("x = " + "{a=" * 20_000, "f.toml: not valid TOML: it is nested too deep", ""),
        ("a = 1\n" + "b." * 101 + "c = 1", "f.toml:2: the line has more than 100 dots", ""),
        ("a" + '."="' * 101 + " = 1", "f.toml:1: the line has more than 100 dots", ""),
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


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "text",
    [
        "".join(f"[t{number}]\n" for number in range(6000)),
        "".join(f"k{number}{'.a' * 100} = 1\n" for number in range(200)),
        "[" + "b." * 100 + "b]\n" + f"{'a.' * 100}a = 1\n",
        "#" * 65_536,
        "k = [" + "'x'," * 16_000 + "]",
    ],
    ids=["tables", "dotted", "dotted-table", "comment", "array"],
)
def test_what_is_allowed_costs_little(text: str) -> None:
    tracemalloc.start()
    try:
        assert parse_toml("f.toml", text) is not None
        assert tracemalloc.get_traced_memory()[1] < 64_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "keys", "place"),
    [
        ("key = 1", "key", "f.toml:1"),
        ("# key = 1\n\n  key = 1", "key", "f.toml:3"),
        ("'key' = 1\r\n", "key", "f.toml:1"),
        ("other = 1\r\nkey = 1\r\n", "key", "f.toml:2"),
        ("[table]\nkey = 1", "table", "f.toml:1"),
        ("[table]\nkey = 1", "table key", "f.toml:2"),
        ("[a]\nkey = 1\n[b]\nkey = 1", "b key", "f.toml:4"),
        ("[a . 'b']\nc.key = 1", "a b c key", "f.toml:2"),
        ("[a.b.c]\nkey = 1", "a b", "f.toml:1"),
        ("a.b.c = 1", "a b", "f.toml:1"),
        ("x = 1\na = { b = { c = 1 } }", "a b c", "f.toml:2"),
        ("[[a]]\nkey = 1", "a", "f.toml:1"),
        ('x = """\nkey = 1\n"""\nkey = 2', "key", "f.toml"),
        ('[a]\nx = """\n[b]\n"""\nkey = 2', "a key", "f.toml"),
        ('[a]\nx = [\n["b"]\n]\nkey = 2\n[b]\nkey = 1', "b key", "f.toml"),
        ('"k\\u0065y" = 1', "key", "f.toml"),
    ],
)
def test_place_of_is_the_line_or_not_said(text: str, keys: str, place: str) -> None:
    value = parse_toml("f.toml", text)
    for key in keys.split():
        value = value[key]
    assert place_of("f.toml", text, keys.split()) == place


@pytest.mark.timeout(5)
@pytest.mark.parametrize("line", ["a" * 60_000, "a." * 99 + "a" * 60_000, " " * 60_000])
def test_place_of_costs_little(line: str) -> None:
    assert place_of("f.toml", line, ["key"]) == "f.toml"
    assert place_of("f.toml", "a\n" * 30_000, ["key"]) == "f.toml"


def test_shown_value_is_short_and_survives_depth() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert len(shown_value(deep)) < 200
    assert len(shown_value(["x" * 60_000] * 60_000)) < 1000
    assert shown_value("reiserfs") == "'reiserfs'"
