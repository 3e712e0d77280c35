import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcpy.errors import ConfigurationError, UsageError
from bootcpy.model.boot.cmdline import split_kargs
from bootcpy.model.boot.kargs import (
    KernelArguments,
    delete,
    extend,
    kargs_after_upgrade,
    kargs_d,
    merge_for_install,
    parse_kargs,
    parse_kargs_d,
    without,
)
from tests.refusals import refused
from tests.unit.model.image.trees import Link, TreeInMemory

_CORRECT = "correct the file"
_KNOWN_KEYS = "known are kargs and match-architectures"


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("", ()),
        ("  quiet   rw ", ("quiet", "rw")),
        ('dyndbg="file a.c +p" quiet', ('dyndbg="file a.c +p"', "quiet")),
        ('"dyndbg=file a.c +p"', ('"dyndbg=file a.c +p"',)),
        ("a\tb\nc", ("a", "b", "c")),
    ],
)
def test_split_kargs_keeps_quoted_space(text: str, params: tuple[str, ...]) -> None:
    assert split_kargs(text) == params


def test_parse_kargs_takes_several_per_text() -> None:
    assert parse_kargs(["quiet splash", "console=ttyS0"]) == ("quiet", "splash", "console=ttyS0")


@pytest.mark.parametrize("text", ["", "  ", "a\nb", 'a="b c', "a\0b", "a=\udcff"])
def test_parse_kargs_refuses(text: str) -> None:
    with refused(UsageError, "--karg-delete", hint="write it as key or key=value"):
        parse_kargs([text], option="--karg-delete")


@pytest.mark.parametrize(
    ("params", "more", "result"),
    [
        (("rw",), ("rw", "quiet"), ("rw", "quiet")),
        (("a-b=1",), ("a_b=1",), ("a-b=1",)),
        (("a=1",), ("a=2",), ("a=1", "a=2")),
        (("a",), ("a=",), ("a", "a=")),
        (('a="x y"',), ('"a=x y"',), ('a="x y"',)),
        ((), ("x", "x"), ("x",)),
        (("a=b-c",), ("a=b_c",), ("a=b-c", "a=b_c")),
    ],
)
def test_extend_adds_only_what_is_new(
    params: tuple[str, ...], more: tuple[str, ...], result: tuple[str, ...]
) -> None:
    assert extend(params, more) == result


@pytest.mark.parametrize(
    ("patterns", "result"),
    [
        (("console",), ("root=x", "quiet")),
        (("console=tty0",), ("root=x", "console=ttyS0", "quiet")),
        (("quiet",), ("root=x", "console=tty0", "console=ttyS0")),
        (("consol",), ("root=x", "console=tty0", "console=ttyS0", "quiet")),
        (("quiet=",), ("root=x", "console=tty0", "console=ttyS0", "quiet")),
    ],
)
def test_delete_takes_keys_or_exact_parameters(
    patterns: tuple[str, ...], result: tuple[str, ...]
) -> None:
    assert delete(("root=x", "console=tty0", "console=ttyS0", "quiet"), patterns) == result


def test_merge_for_install_has_the_reference_order() -> None:
    kargs = KernelArguments(
        root=("root=UUID=x", "rw"),
        config=("config=1", "shared", "gone"),
        config_delete=("gone",),
        command_line=("cli=1", "back"),
        command_line_delete=("image", "back"),
    )
    assert merge_for_install(kargs, ("image=1", "shared", "other")) == (
        "root=UUID=x",
        "rw",
        "cli=1",
        "config=1",
        "shared",
        "other",
        "back",
    )


@pytest.mark.parametrize(
    ("current", "old", "new", "result"),
    [
        (("rw", "a", "mine"), ("a",), ("b",), ("rw", "mine", "b")),
        (("rw", "a"), ("a",), ("a",), ("rw", "a")),
        (("rw",), ("a",), ("a",), ("rw",)),
        (("rw", "mine"), (), ("mine",), ("rw", "mine")),
        (("rw", "a=2"), ("a=1",), (), ("rw", "a=2")),
        (("rw", "a"), ("a",), (), ("rw",)),
    ],
    ids=[
        "swapped",
        "unchanged",
        "user-removed-stays-removed",
        "user-had-it",
        "user-changed-it",
        "emptied-or-gone-directory-removes",
    ],
)
def test_kargs_after_upgrade(
    current: tuple[str, ...],
    old: tuple[str, ...],
    new: tuple[str, ...],
    result: tuple[str, ...],
) -> None:
    assert kargs_after_upgrade(current, old, new) == result


PARAMS = st.lists(st.sampled_from(["a", "b", "c=1", "c=2", "d-e", "d_e"]), max_size=6).map(tuple)


@given(current=PARAMS, old=PARAMS, new=PARAMS)
def test_kargs_after_upgrade_never_touches_what_no_image_names(
    current: tuple[str, ...], old: tuple[str, ...], new: tuple[str, ...]
) -> None:
    result = kargs_after_upgrade((*current, "mine"), old, new)
    assert "mine" in result
    assert without(old, new) == () or not set(without(old, new)) & set(result)


def test_parse_kargs_d_sorts_filters_and_merges() -> None:
    files = [
        ("20-b.toml", 'kargs = ["b", "shared"]'),
        ("10-a.toml", 'kargs = ["a=1 a=2", "shared"]'),
        ("README", "not TOML at all ["),
        ("30-arm.toml", 'kargs = ["arm"]\nmatch-architectures = ["aarch64"]'),
        ("40-x86.toml", 'kargs = ["x86"]\nmatch-architectures = ["x86_64", "aarch64"]'),
    ]
    assert parse_kargs_d(files, "x86_64") == ("a=1", "a=2", "shared", "b", "x86")


def test_parse_kargs_d_knows_rusts_names_of_architectures() -> None:
    files = [("p.toml", 'kargs = ["p"]\nmatch-architectures = ["powerpc64"]')]
    assert parse_kargs_d(files, "ppc64le") == ("p",)


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("kargs = [", ["bad.toml", "TOML"], _CORRECT),
        (
            'kargs = ["a"]\nmatch_architectures = []',
            ["bad.toml:2:", "match_architectures"],
            _KNOWN_KEYS,
        ),
        ("# x\n\n[table]\nkey = 1", ["bad.toml:3:", "table"], _KNOWN_KEYS),
        ('# x\n"kargs"=1', ["bad.toml:2:", "kargs", "list"], _CORRECT),
        (
            'kargs = ["a"]\n  match-architectures = 1',
            ["bad.toml:2:", "match-architectures"],
            _CORRECT,
        ),
        ('match-architectures = ["x86_64"]', ["bad.toml", "kargs", "missing"], _CORRECT),
        ('kargs = "a"', ["bad.toml", "kargs", "list"], _CORRECT),
        ("kargs = [1]", ["bad.toml", "kargs", "list"], _CORRECT),
        ('\nkargs = [""]', ["bad.toml:2:", "kargs", "empty"], _CORRECT),
    ],
)
def test_parse_kargs_d_names_file_and_key(text: str, words: list[str], hint: str) -> None:
    with refused(ConfigurationError, hint=hint) as caught:
        parse_kargs_d([("bad.toml", text)], "x86_64")
    assert all(word in caught.value.message for word in words)


@pytest.mark.timeout(5)
def test_kargs_d_with_many_unknown_keys_is_refused_at_once() -> None:
    text = "".join(f"k{number} = 1\n" for number in range(6000)) + "kargs = []\n"
    with refused(ConfigurationError, r"f\.toml:1: unknown key 'k0'", hint=_KNOWN_KEYS):
        parse_kargs_d([("f.toml", text)], "x86_64")


def test_kargs_d_shows_no_more_of_a_value_than_fits_a_line() -> None:
    for text in (f"kargs = '{'x' * 60_000}'", f"kargs = ['{'x' * 60_000}\"']"):
        with pytest.raises(ConfigurationError) as e:
            parse_kargs_d([("f.toml", text)], "x86_64")
        assert len(e.value.message) < 200


def test_kargs_d_is_of_files_only() -> None:
    base = "usr/lib/bootc/kargs.d"
    files: dict[str, bytes | Link] = {
        f"{base}/20-b.toml": b"b",
        f"{base}/10-a.toml": b"a \xff",
        f"{base}/30-empty.toml": b"",
        f"{base}/40-link.toml": Link("/etc/shadow"),
        f"{base}/50-directory.toml/x": b"",
        f"{base}/README": b"",
    }
    assert kargs_d(TreeInMemory(files)) == (
        (f"/{base}/10-a.toml", "a \ufffd"),
        (f"/{base}/20-b.toml", "b"),
        (f"/{base}/30-empty.toml", ""),
    )


@pytest.mark.parametrize("depth", range(400, 600))
def test_kargs_d_nested_as_deep_as_can_be_read_or_one_deeper(depth: int) -> None:
    text = f'match-architectures = {"[" * depth}{"]" * depth}\nkargs = ["x"]\n'
    with pytest.raises(ConfigurationError):
        parse_kargs_d([("x.toml", text)], "x86_64")
