"""Odd trees: refused before they are staged, or else they arrive at the next boot."""

from operator import attrgetter

import pytest

from tests.hostile.ground import Ground, Row, switch
from tests.hostile.images import KERNEL, MIB, PREPARE_ROOT, Layout, layer, tree
from tests.layers import Member, directory, file, symlink
from tests.system.support.disks import initramfs

_KARGS_D = "usr/lib/bootc/kargs.d"
_CONF = "usr/lib/ostree/prepare-root.conf"
_OS_RELEASE = "usr/lib/os-release"


def _row(
    name: str,
    refused: str = "",
    once: str = "",
    *members: Member,
    files: dict[str, bytes | None] | None = None,
) -> Row:
    words = switch(Layout((layer(*tree(files or {}), *members),)))
    return Row(id=name, words=words, refused=refused, boots=not refused, once=once)


def _kargs(name: str, text: bytes, refused: str = "", once: str = "") -> Row:
    return _row(f"kargs.d-{name}", refused, once, files={f"{_KARGS_D}/10-a.toml": text})


def _conf(name: str, text: bytes, refused: str = "", once: str = "") -> Row:
    return _row(f"prepare-root-{name}", refused, once, files={_CONF: text})


def _release(name: str, text: bytes, refused: str = "", once: str = "") -> Row:
    return _row(f"os-release-{name}", refused, once, files={_OS_RELEASE: text})


_LOST = "staged, then lost at shutdown"

_OS_RELEASES = [
    _row("os-release-gone", "no os-release", files={_OS_RELEASE: None}),
    _release("empty", b"", "os-release", _LOST),
    _release("no-name", b"VERSION=1\n", "os-release", _LOST),
    _release("id-only", b"ID=test\n"),
    _release("not-utf8", b"ID=test\nPRETTY_NAME=\xff\n", "os-release", _LOST),
    _release("nul", b"ID=test\0\nPRETTY_NAME=x\n", "os-release"),
    _release("quotes-open", b"ID=test\nPRETTY_NAME='x\n"),
    _release("escape", b"ID=test\nPRETTY_NAME=\x1b[31mx\n"),
    _release("newline", b'ID=test\nPRETTY_NAME="x\ny"\n'),
    _release("braces", b"ID=test\nPRETTY_NAME='$(reboot) `x` { ; }'\n"),
    _release("long", b"ID=test\nPRETTY_NAME=" + b"x" * 50_000 + b"\n"),
    _release("2-MiB", b"ID=test\nPRETTY_NAME=x\n" + b"#" * 2 * MIB, "os-release"),
    _row(
        "os-release-directory", "os-release", "", directory(_OS_RELEASE), files={_OS_RELEASE: None}
    ),
    _row(
        "os-release-link",
        "os-release",
        "",
        symlink(_OS_RELEASE, "/etc/shadow"),
        files={_OS_RELEASE: None},
    ),
]

_KERNELS = [
    _row("kernels-none", "no kernel", files={f"{KERNEL}/vmlinuz": None}),
    _row("kernels-two", "more than one kernel", files={"usr/lib/modules/2/vmlinuz": b"x"}),
    _row(
        "kernel-is-link",
        "no kernel",
        "",
        symlink(f"{KERNEL}/vmlinuz", "/boot/vmlinuz"),
        files={f"{KERNEL}/vmlinuz": None},
    ),
    _row(
        "kernel-is-directory",
        "no kernel",
        "",
        directory(f"{KERNEL}/vmlinuz"),
        files={f"{KERNEL}/vmlinuz": None},
    ),
    _row("kernel-empty", files={f"{KERNEL}/vmlinuz": b""}),
    _row(
        "kernel-blank-in-version",
        "kernel",
        "it broke the boot menu",
        files={
            f"{KERNEL}/vmlinuz": None,
            f"{KERNEL}/initramfs.img": None,
            "usr/lib/modules/6 12/vmlinuz": b"x",
            "usr/lib/modules/6 12/initramfs.img": initramfs(PREPARE_ROOT),
        },
    ),
    _row("initramfs-none", "no initramfs", files={f"{KERNEL}/initramfs.img": None}),
    _row(
        "initramfs-is-link",
        "no initramfs",
        "",
        symlink(f"{KERNEL}/initramfs.img", "x"),
        files={f"{KERNEL}/initramfs.img": None},
    ),
    _row(
        "modules-is-link",
        "no kernel",
        "",
        symlink("usr/lib/modules", "/lib/modules"),
        files={f"{KERNEL}/vmlinuz": None, f"{KERNEL}/initramfs.img": None},
    ),
]

_KARGS = [
    _kargs("good", b'kargs = ["a=1"]\n'),
    _kargs("text", b"<html>", "10-a.toml:1: not valid TOML"),
    _kargs("not-utf8", b'kargs = ["\xff"]\n', "10-a.toml"),
    _kargs("nul", b'kargs = ["a\0"]\n', "10-a.toml"),
    _kargs("number", b"kargs = 1\n", "kargs must be a list"),
    _kargs("table", b"[kargs]\n", "kargs must be a list"),
    _kargs("list-of-numbers", b"kargs = [1]\n", "kargs must be a list"),
    _kargs("unknown-key", b"kargs = []\nx = 1\n", "unknown key"),
    _kargs("key-missing", b"", "is missing"),
    _kargs("newline", b'kargs = ["a\\nb"]\n', "more than one line"),
    _kargs("quote-open", b"kargs = ['a=\"b']\n", "quotation mark"),
    _kargs("escape", b'kargs = ["a=\\u001b[31m"]\n'),
    _kargs("bidi", b'kargs = ["a=\\u202e"]\n'),
    _kargs("grub", b"kargs = ['a=$(x)', '`b`', '{c}', \"d'e\"]\n"),
    _kargs("root-again", b'kargs = ["ostree=/evil", "root=/dev/evil"]\n'),
    _kargs("many", b'kargs = ["a"' + b', "b"' * 3000 + b"]\n"),
    _kargs("long", b'kargs = ["a=' + b"x" * 60_000 + b'"]\n'),
    _kargs("nested", b"kargs = " + b"[" * 20_000 + b"]" * 20_000, ".", "RecursionError"),
    _kargs("nested-tables", b"a." * 20_000 + b"b = 1\n", ".", "RecursionError"),
    _kargs("nested-inline", b"kargs = " + b"{a=" * 15_000 + b"1" + b"}" * 15_000, "."),
    _kargs("comments-4-MiB", b"#" * (4 * MIB) + b"\nkargs = []\n", "10-a.toml", "800 MB"),
    _kargs("number-huge", b"kargs = " + b"9" * 9000, "."),
    _kargs("date-odd", b"kargs = 2026-99-99\n", "."),
    _kargs("duplicate", b"kargs = []\nkargs = []\n", "10-a.toml"),
    _kargs("bom", b'\xef\xbb\xbfkargs = ["a"]\n', "10-a.toml"),
    _row(
        "kargs.d-many-files", files={f"{_KARGS_D}/{n}.toml": b'kargs = ["a"]\n' for n in range(500)}
    ),
    _row("kargs.d-is-file", files={_KARGS_D: b"x"}),
    _row("kargs.d-is-link", "", "", symlink(_KARGS_D, "/etc")),
    _row(
        "kargs.d-file-is-link",
        "",
        "",
        directory(_KARGS_D),
        symlink(f"{_KARGS_D}/10-a.toml", "/etc/shadow"),
    ),
    _row("kargs.d-file-is-directory", "", "", directory(f"{_KARGS_D}/10-a.toml")),
]

_CONFS = [
    _row("prepare-root-gone", "no ostree/prepare-root.conf", files={_CONF: None}),
    _conf("empty", b""),
    _conf("text", b"<html>\n", "prepare-root.conf"),
    _conf("not-utf8", b"[composefs]\nenabled=\xff\n", "prepare-root.conf|composefs"),
    _conf("nul", b"[composefs]\0\nenabled=no\n", "prepare-root.conf"),
    _conf("composefs", b"[composefs]\nenabled = yes\n", "requires composefs"),
    _conf("composefs-maybe", b"[composefs]\nenabled = maybe\n"),
    _conf("duplicate", b"[composefs]\nenabled=no\n[composefs]\nenabled=no\n"),
    _conf("interpolation", b"[composefs]\nenabled = no\nx = %(y)s ${z}\n"),
    _conf("2-MiB", b"#" * (2 * MIB), "prepare-root.conf", "1.4 GB for 200 MB"),
    _conf("escape", b"\x1b[31m\n", "prepare-root.conf"),
    _row(
        "prepare-root-is-link",
        "no ostree/prepare-root.conf",
        "",
        symlink(_CONF, "/etc/shadow"),
        files={_CONF: None},
    ),
    _row("prepare-root-in-etc", files={_CONF: None, "etc/ostree/prepare-root.conf": b""}),
]

_PLACES = [
    _row("tmpfiles.d-is-link", "", "", symlink("etc/tmpfiles.d", "/tmp")),
    _row("tmpfiles.d-is-link-up", "", "", symlink("etc/tmpfiles.d", "../../../../../tmp")),
    _row("tmpfiles.d-is-file", files={"etc/tmpfiles.d": b"x"}),
    _row("etc-and-usr-etc", "", "", file("usr/etc/hosts", b"other")),
    _row("etc-2000-files", files={f"etc/d/{n}": b"x" for n in range(2000)}),
    _row("etc-shipped-is-directory", files={"etc/shipped": None, "etc/shipped/x": b"1"}),
    _row("var-full", files={f"var/lib/{n}": b"x" for n in range(50)}),
    _row("sysroot-has-repository", files={"sysroot/ostree/repo/config": b"x"}),
    _row("ostree-is-file", "", "", file("ostree-x", b"x")),
    _row("boot-has-kernel", files={"boot/vmlinuz": b"x", "boot/loader/entries/x.conf": b"x"}),
    _row("dev-and-proc", files={"dev/x": b"x", "proc/x": b"x", "run/x": b"x"}),
    _row("usr-local-is-link", "", "", symlink("usr/local", "/var/usrlocal")),
    _row("top-level-odd", files={"\u202e": b"x", " ": b"x", "-rf": b"x"}),
    _row("immutable-names", files={".ostree.cfs": b"x", ".bootcpy-stash/x": b"x"}),
]

_WITHOUT_ETC = _row(
    "etc-absent", "no directory /etc", _LOST, files={"etc/shipped": None, "etc/hosts": None}
)

ROWS = [_WITHOUT_ETC, *_OS_RELEASES, *_KERNELS, *_KARGS, *_CONFS, *_PLACES]


@pytest.mark.parametrize("row", ROWS, ids=attrgetter("id"))
def test_trees(ground: Ground, row: Row) -> None:
    ground.check(row)
