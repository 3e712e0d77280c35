import json

import pytest
import yaml

from bootcpy.model.base.printable import escaped_json, printable, yaml_quoted

_ODD = (
    "\x00\x07\b\x1b\x7f\x80\x9b\x9f\xa0\xad"
    "\u200b\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff\ue000\ufffe\U000e0041\U0001fffe"
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("13.1", "13.1"),
        ("Größe ≥ 日本 🎉", "Größe ≥ 日本 🎉"),
        ("a\\b", "a\\b"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("one\ntwo\r\n\tthree", "one\\ntwo\\r\\n\\tthree"),
        ("\x00\x07\x7f", "\\x00\\x07\\x7f"),
        ("\x9b31m\x85", "\\x9b31m\\x85"),
        ("\u202e\u2066\u2069", "\\u202e\\u2066\\u2069"),
        ("\u2028\u2029\ufeff", "\\u2028\\u2029\\ufeff"),
        ("caf\udce9", "caf\\udce9"),
        ("\U000e0041", "\\U000e0041"),
        ("1\xa0MB\u2003\n", "1\xa0MB\\u2003\\n"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("13.1", 4, "13.1"),
        ("13.1.2", 4, "13.…"),
        ("13.1", 1, "…"),
        ("\x1b\x1b", 4, "\\x1…"),
        ("\x1b", 4, "\\x1b"),
        ("a" * 10_000_000, 5, "aaaa…"),
        ("\n" * 10_000_000, 5, "\\n\\n…"),
    ],
)
def test_printable_with_a_limit(text: str, limit: int, shown: str) -> None:
    assert printable(text, limit=limit) == shown


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_escaped_json_means_the_same(indent: int | None, *, ascii_only: bool) -> None:
    document = {f"k{_ODD}": [_ODD, "Größe 🎉", "caf\udce9", '"\\\n\t'], "b": {"n": 1.5}}
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    escaped = escaped_json(text)
    assert json.loads(escaped) == document
    assert escaped.replace("\n", "").isprintable()


def test_escaped_json_keeps_what_is_printable() -> None:
    text = '{"a":"Größe 🎉 日本"}\n'
    assert escaped_json(text) == text


def test_yaml_quoted_is_read_back() -> None:
    text = f'{_ODD} "quoted" \\ Größe 🎉\n\t'
    assert yaml.safe_load(yaml_quoted(text)) == text
    assert yaml_quoted(text).replace("\xa0", "").isprintable()
