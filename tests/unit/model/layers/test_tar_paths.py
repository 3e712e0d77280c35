"""Where paths of a layer go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcpy.errors import ImageContentError
from bootcpy.model.layers.tar_paths import (
    DEEPEST,
    Dropped,
    Kept,
    map_link_target,
    map_path,
    normalise,
    parents,
)
from tests.refusals import refused


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("", Kept("")),
        (".", Kept("")),
        ("./", Kept("")),
        ("/", Kept("")),
        ("usr", Kept("usr")),
        ("./usr//bin/./tool/", Kept("usr/bin/tool")),
        ("/usr/bin", Kept("usr/bin")),
        ("etc", Kept("usr/etc")),
        ("./etc/hosts", Kept("usr/etc/hosts")),
        ("etc/.wh.hosts", Kept("usr/etc/.wh.hosts")),
        ("etcetera/a", Kept("etcetera/a")),
        ("usr/etc/a", Kept("usr/etc/a")),
        ("var/lib", Kept("var/lib")),
        (".wh.etc", Kept(".wh.etc")),
        ("run", Kept("run")),
        ("tmp", Kept("tmp")),
        ("proc/self", Dropped("self")),
        ("sys/a/b", Dropped("a")),
        ("dev/null", Dropped("null")),
        ("runtime/a", Kept("runtime/a")),
        ("boot/vmlinuz", Kept("boot/vmlinuz")),
        ("opt/tool", Kept("opt/tool")),
    ],
)
def test_map_path_without_a_base(raw: str, expected: Kept | Dropped) -> None:
    assert map_path(raw, allow_nonusr=True) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("usr/bin", Kept("usr/bin")),
        ("etc/hosts", Kept("usr/etc/hosts")),
        ("var/lib", Kept("var/lib")),
        ("run", Kept("run")),
        ("run/lock", Dropped("lock")),
        ("opt", Dropped("opt")),
        ("opt/tool/bin", Dropped("opt")),
        (".wh.opt", Dropped(".wh.opt")),
        ("sysroot/ostree/repo/config", Dropped("sysroot")),
        ("", Kept("")),
    ],
)
def test_map_path_over_a_base_that_protects_usr_only(raw: str, expected: Kept | Dropped) -> None:
    assert map_path(raw, allow_nonusr=False) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("etc/a", "usr/etc/a"),
        ("./etc/a", "usr/etc/a"),
        ("/etc/a", "usr/etc/a"),
        ("etcc/a", "etcc/a"),
        ("var/a", "var/a"),
        ("run/a", "run/a"),
        ("usr/bin/a", "usr/bin/a"),
    ],
)
def test_map_link_target(raw: str, expected: str) -> None:
    assert map_link_target(raw) == expected


@pytest.mark.parametrize("raw", ["..", "../a", "usr/../../etc", "/..", "a/..", "./../a"])
def test_paths_that_leave_the_tree_are_refused(raw: str) -> None:
    for act in (normalise, map_link_target):
        with pytest.raises(ImageContentError, match="leaves the tree"):
            act(raw)
    with refused(
        ImageContentError,
        "leaves the tree",
        hint="the image is malformed or hostile; do not use it",
    ):
        map_path(raw, allow_nonusr=True)


@pytest.mark.parametrize("raw", ["..a", "a..", "a...b", "usr/..."])
def test_names_with_dots_are_not_refused(raw: str) -> None:
    assert normalise(raw) == raw


def test_names_that_are_not_utf8_are_refused() -> None:
    with refused(
        ImageContentError,
        r"name is not UTF-8: 'usr/a\\udcff'",
        hint="rename the file in the image; ostree stores UTF-8 names only",
    ):
        normalise("usr/a\udcff")


@pytest.mark.parametrize("raw", ["usr/Grüße", "usr/日本", "usr/\u200b", "usr/a\nb", "usr/\x7f"])
def test_other_names_are_utf8_even_if_they_do_not_print(raw: str) -> None:
    assert normalise(raw) == raw


def test_paths_that_are_too_deep_are_refused() -> None:
    deepest = "/".join(["a"] * DEEPEST)
    assert normalise(deepest) == deepest
    with pytest.raises(ImageContentError, match=f"deeper than {DEEPEST}"):
        normalise(f"{deepest}/a")


def test_parents() -> None:
    assert parents("a") == []
    assert parents("usr/share/doc/a") == ["usr", "usr/share", "usr/share/doc"]


@given(st.lists(st.sampled_from(["usr", "etc", "..", ".", "", "a", "proc", "\udc80"])))
def test_what_is_kept_is_clean(parts: list[str]) -> None:
    try:
        found = map_path("/".join(parts), allow_nonusr=True)
    except ImageContentError:
        assert ".." in parts or "\udc80" in parts
        return
    if isinstance(found, Kept) and found.path:
        assert not {"", ".", ".."} & set(found.path.split("/"))
        assert found.path.partition("/")[0] != "etc"
