import pytest

from bootcpy.errors import ConfigurationError
from bootcpy.model.boot.bls import Entry, parse_entry, sorted_entries
from tests.refusals import refused

# As libostree 2025.2 writes it, with the two keys that mean nothing.
LIBOSTREE = """\
title Debian GNU/Linux 13 (trixie) 13.1 (ostree:0)
version 2
options root=UUID=0a1b rw quiet ostree=/ostree/boot.1/default/abc/0
linux /boot/ostree/default-abc/vmlinuz-6.12.1
initrd /boot/ostree/default-abc/initramfs-6.12.1.img
aboot /boot/ostree/default-abc/aboot.img
abootcfg /boot/ostree/default-abc/aboot.cfg
"""


def entry(entry_id: str, *, version: str = "1", tries_left: int | None = None) -> Entry:
    return Entry(
        id=entry_id,
        title=entry_id,
        version=version,
        linux="/boot/vmlinuz",
        initrd=(),
        options="",
        tries_left=tries_left,
    )


def test_parse_entry_reads_what_libostree_writes() -> None:
    assert parse_entry("ostree-2.conf", LIBOSTREE) == Entry(
        id="ostree-2",
        title="Debian GNU/Linux 13 (trixie) 13.1 (ostree:0)",
        version="2",
        linux="/boot/ostree/default-abc/vmlinuz-6.12.1",
        initrd=("/boot/ostree/default-abc/initramfs-6.12.1.img",),
        options="root=UUID=0a1b rw quiet ostree=/ostree/boot.1/default/abc/0",
    )


@pytest.mark.parametrize(
    ("file_name", "expected"),
    [
        ("ostree-1.conf", ("ostree-1", None)),
        ("ostree-1+3.conf", ("ostree-1", 3)),
        ("ostree-1+0-3.conf", ("ostree-1", 0)),
        ("a+b.conf", ("a+b", None)),
    ],
)
def test_parse_entry_reads_counters_of_the_file_name(
    file_name: str, expected: tuple[str, int | None]
) -> None:
    found = parse_entry(file_name, LIBOSTREE)
    assert (found.id, found.tries_left) == expected


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("linux /k\noptions a\noptions b  c\n", "options", "a b  c"),
        ("linux /k\ninitrd /a\ninitrd /b /c\n", "initrd", ("/a", "/b", "/c")),
        ("linux\t/k\n", "linux", "/k"),
        ("# linux /no\n\n  linux /k  \n", "linux", "/k"),
        ("linux /k\ntitle it's \u2028 \u00e4\n", "title", "it's \u2028 \u00e4"),
        ("linux /k\n", "title", "x"),
        ("linux /k\ndevicetree /d.dtb\n", "devicetree", "/d.dtb"),
        ('linux /k\ngrub_users ""\n', "grub_users", '""'),
        ("linux /k\ngrub_users\n", "grub_users", ""),
        ("linux /k\n", "grub_users", None),
    ],
)
def test_parse_entry_reads_one_field(text: str, field: str, value: object) -> None:
    assert getattr(parse_entry("x.conf", text), field) == value


@pytest.mark.parametrize("text", ["", "title only\n", "linux\n", "linux vmlinuz\n", "linuxx /k\n"])
def test_parse_entry_refuses_an_entry_without_kernel(text: str) -> None:
    with refused(
        ConfigurationError,
        r"entry x\.conf has no line `linux /PATH`",
        hint="remove the entry, or deploy again, which writes it again",
    ):
        parse_entry("x.conf", text)


def test_parse_entry_refuses_another_file_name() -> None:
    with refused(ConfigurationError, "README", hint="name it ID.conf, or remove it"):
        parse_entry("README", LIBOSTREE)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((entry("ostree-1", version="1"), entry("ostree-2", version="2")), "ostree-2 ostree-1"),
        ((entry("ostree-9", version="9"), entry("ostree-10", version="10")), "ostree-10 ostree-9"),
        ((entry("b", version="6.1.2"), entry("a", version="6.1.10")), "a b"),
        ((entry("ostree-9", version=""), entry("ostree-10", version="")), "ostree-10 ostree-9"),
        ((entry("a", version="\u00b22"), entry("b", version="1")), "a b"),
        (
            (entry("a", version="9" * 5000), entry("b", version="1" + "0" * 5000)),
            "b a",
        ),
        ((entry("a", version="٣"), entry("b", version="2")), "a b"),
        ((entry("new", version="2", tries_left=0), entry("old", version="1")), "old new"),
        ((entry("new", version="2", tries_left=1), entry("old", version="1")), "new old"),
    ],
    ids=[
        "version",
        "numeric",
        "dotted",
        "by-name",
        "superscript",
        "thousands-of-digits",
        "other-digits",
        "used-up",
        "still-trying",
    ],
)
def test_sorted_entries(entries: tuple[Entry, ...], expected: str) -> None:
    assert " ".join(each.id for each in sorted_entries(entries)) == expected
