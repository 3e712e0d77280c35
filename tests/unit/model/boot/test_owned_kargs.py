import pytest

from bootcpy.errors import BootcpyError, UsageError
from bootcpy.model.boot.owned_kargs import (
    OwnedKargs,
    owned,
    parse_options,
    parse_source,
    plan_source,
    read_sources,
)
from tests.refusals import refused

_WRITE_PAIRS = "write it as key or key=value"


@pytest.mark.parametrize(
    ("kargs", "sources", "wanted", "planned_kargs", "line"),
    [
        ("root=x rw", {}, "a=1 b", "root=x rw a=1 b", "a=1 b"),
        ("rw a=1 quiet", {"t": "a=1"}, "a=2 b", "rw a=2 b quiet", "a=2 b"),
        ("a=1 rw b", {"t": "a=1 b"}, "c", "c rw", "c"),
        ("rw a=1 quiet", {"t": "a=1"}, "", "rw quiet", ""),
        # Asked for by its owner and by somebody else: it is there once, and stays.
        ("rw quiet", {}, "quiet", "rw quiet", "quiet"),
        ("rw quiet", {"t": "quiet", "admin": "quiet"}, "", "rw quiet", ""),
        # Another program has taken the argument away from the entry.
        ("rw", {"t": "a=1"}, "a=1", "rw a=1", "a=1"),
        ("rw", {"t": "a=1"}, "", "rw", ""),
        # As the kernel compares: dashes and underscores, with and without quotes.
        ('rw a_b="1"', {"t": "a-b=1"}, 'c="x y"', 'rw c="x y"', 'c="x y"'),
        # The same argument, with another of the same key before it.
        ("console=tty0 console=ttyS0", {"t": "console=ttyS0"}, "x", "console=tty0 x", "x"),
    ],
)
def test_a_source_gets_its_new_arguments_in_place_of_its_old_ones(
    kargs: str, sources: dict[str, str], wanted: str, planned_kargs: str, line: str
) -> None:
    current = OwnedKargs(kargs=_split(kargs), sources=sources)
    planned = plan_source(current, "t", parse_options(wanted))
    assert planned == OwnedKargs(kargs=_split(planned_kargs), sources={**sources, "t": line})


@pytest.mark.parametrize(
    ("kargs", "sources", "wanted"),
    [
        ("rw a=1 b quiet", {"t": "a=1 b"}, "a=1 b"),
        ("rw", {}, None),
        ("rw", {}, ""),
        ("rw", {"t": ""}, None),
        ("rw", {"t": "", "admin": "quiet"}, "  "),
    ],
)
def test_a_source_that_has_what_it_wants_changes_nothing(
    kargs: str, sources: dict[str, str], wanted: str | None
) -> None:
    current = OwnedKargs(kargs=_split(kargs), sources=sources)
    assert plan_source(current, "t", parse_options(wanted)) is None


def _split(text: str) -> tuple[str, ...]:
    return parse_options(text)


def test_sources_are_read_from_a_boot_entry() -> None:
    entry = (
        "title Test\noptions root=x a=1 b\nx-options-source-tuned a=1  b\n"
        "x-options-source-gone\nx-other y\nx-options-source-my_own-1\tc\n"
    )
    sources = read_sources(entry)
    assert sources == {"tuned": "a=1  b", "gone": "", "my_own-1": "c"}
    assert owned(sources) == ("a=1", "b", "c")


@pytest.mark.parametrize("name", ["", "a b", "a@b", "ä", "a/b", "a\n"])
def test_a_name_that_is_no_key_is_refused(name: str) -> None:
    with refused(
        BootcpyError, "invalid source name", hint="use letters, digits, dashes and underscores"
    ):
        parse_source(name)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a\nb", _WRITE_PAIRS),
        ('a="b', _WRITE_PAIRS),
        ("a\0", _WRITE_PAIRS),
        ("rw ostree=/ostree/boot.0", "remove it: libostree sets that argument"),
    ],
)
def test_options_that_no_command_line_can_have_are_refused(text: str, hint: str) -> None:
    with refused(UsageError, "--options", hint=hint):
        parse_options(text)
