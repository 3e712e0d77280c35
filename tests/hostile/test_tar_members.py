"""Layers whose members are odd: names, kinds, links, owners, attributes, order."""

import tarfile
from operator import attrgetter

import pytest

from tests.hostile.ground import Ground, Row, switch
from tests.hostile.images import BASE, KERNEL, Layout, layer, of_tar
from tests.hostile.tars import entry, numeral, pax, record, whole
from tests.layers import (
    Member,
    device,
    directory,
    file,
    hardlink,
    opaque,
    symlink,
    whiteout,
)

_LEAVES = "layer sha256:[0-9a-f]{64}: the layer has a member whose path leaves the tree"
_KIND = "a member of an unsupported kind: "
_TWO = "the layer contradicts itself: "
_LACKS = "which the layer lacks"


def _refused(
    name: str, message: str, *members: Member, form: int = tarfile.PAX_FORMAT, once: str = ""
) -> Row:
    made = layer(*members, form=form)
    return Row(id=name, words=switch(Layout((BASE, made))), refused=message, once=once)


def _imported(
    name: str, tree: dict[str, str | None], *members: Member, once: str = "", boots: bool = False
) -> Row:
    words = switch(Layout((BASE, layer(*members))))
    return Row(id=name, words=words, tree=tree, once=once, boots=boots)


def _raw(name: str, archive: bytes, *, refused: str = "", once: str = "", **tree: str) -> Row:
    words = switch(Layout((BASE, of_tar(archive))))
    found = {f"usr/{key}": value for key, value in tree.items()}
    return Row(id=name, words=words, refused=refused, tree=found, once=once)


_NAMES = [
    _refused("dot-dot", f"{_LEAVES}: '../etc/passwd'", file("../etc/passwd")),
    _refused("dot-dot-inside", _LEAVES, file("usr/../../x")),
    _refused("dot-dot-last", _LEAVES, symlink("usr/..", "x")),
    _refused("dot-dot-that-stays", _LEAVES, file("usr/a/../x")),
    _refused("dot-dot-directory", _LEAVES, directory("..")),
    _refused("dot-dot-whiteout", _LEAVES, file("../.wh.x")),
    _refused("dot-dot-in-pax", _LEAVES, file("a" * 101 + "/../../x")),
    _imported("absolute", {"usr/abs": "-00644 0 0 1"}, file("/usr/abs", b"x")),
    _imported("dots-and-slashes", {"usr/abs": "-00644 0 0 1"}, file("././/usr//./abs", b"x")),
    _imported("trailing-slash-file", {"usr/f": "-00644 0 0 1"}, file("usr/f/", b"x")),
    _refused("root-is-file", "the root is something else", file("./", b"1")),
    _refused("root-is-link", "the root is something else", symlink(".", "/etc")),
    _refused("empty-name", "the root is something else", file("", b"1")),
    _refused("not-utf8", "not UTF-8", file("usr/a\udcff"), form=tarfile.GNU_FORMAT),
    _refused("not-utf8-directory", "not UTF-8", file("usr/\udcff/a"), form=tarfile.GNU_FORMAT),
    _refused("link-not-utf8", "not UTF-8", symlink("usr/a", "b\udcff"), form=tarfile.GNU_FORMAT),
    _refused("deep", "deeper than 200 directories", file("/".join(["d"] * 1500))),
    _imported(
        "deep-enough", {"/".join(["usr"] * 199): "-00644 0 0 0"}, file("/".join(["usr"] * 199))
    ),
    _imported("255-bytes", {"usr/" + "n" * 255: "-00644 0 0 0"}, file("usr/" + "n" * 255)),
    _refused("256-bytes", "name", file("usr/" + "n" * 256), once="staged, then lost at shutdown"),
    _imported("newline", {}, file("usr/a\nb")),
    _imported("escape", {}, file("usr/a\x1b[31mb")),
    _imported("backslash", {}, file("usr/a\\b")),
    _imported("blank", {"usr/ ": "-00644 0 0 0"}, file("usr/ ")),
    _refused("escape-in-refused", r"unsupported kind", device("usr/\x1b[2Jx")),
    _refused("newline-in-refused", r"unsupported kind", device("usr/x\nerror: forged")),
    _refused("bidi-in-refused", r"unsupported kind", device("usr/\u202etxt")),
    _refused("c1-in-refused", r"unsupported kind", device("usr/\x9b31m")),
    _refused("long-in-refused", r"leaves the tree", file("../" + "n" * 9000)),
]

_KINDS = [
    _refused("character-device", rf"{_KIND}'usr/null' \(a character device\)", device("usr/null")),
    _refused("block-device", rf"{_KIND}'usr/sda' \(a block", device("usr/sda", tarfile.BLKTYPE)),
    _refused("fifo", rf"{_KIND}'usr/p' \(a FIFO\)", device("usr/p", tarfile.FIFOTYPE)),
    _raw("type-unknown", whole(entry(content=b"x", type=b"Z")), refused="unsupported kind"),
    _raw("type-solaris-door", whole(entry(type=b"D")), refused="."),
    _raw("type-volume-label", whole(entry(type=b"V")), refused="."),
    _raw("type-multi-volume", whole(entry(type=b"M")), refused="."),
    _raw("type-contiguous", whole(entry(content=b"x", type=b"7")), raw="-00644 0 0 1"),
    _raw("type-old-regular", whole(entry(content=b"x", type=b"\0")), raw="-00644 0 0 1"),
    _imported("device-in-dev", {"dev/null": None}, device("dev/null")),
    _refused("overlay-whiteout-device", "a character device", device("usr/bin/tool")),
]

_LINKS = [
    _refused("hard-link-absolute", _LACKS, hardlink("usr/b", "/etc/passwd")),
    _refused("hard-link-dot-dot", _LEAVES, hardlink("usr/b", "../../etc/passwd")),
    _refused("hard-link-to-itself", _LACKS, hardlink("usr/b", "usr/b")),
    _refused("hard-link-ring", _LACKS, hardlink("usr/b", "usr/c"), hardlink("usr/c", "usr/b")),
    _refused("hard-link-to-directory", _LACKS, directory("usr/d"), hardlink("usr/b", "usr/d")),
    _refused("hard-link-to-layer-below", _LACKS, hardlink("usr/b", "usr/bin/tool")),
    _refused("hard-link-empty", _LACKS, hardlink("usr/b", "")),
    _imported(
        "hard-link-before-file",
        {"usr/b": "-00644 0 0 1"},
        hardlink("usr/b", "usr/c"),
        file("usr/c", b"x"),
    ),
    _imported(
        "hard-link-chain",
        {"usr/c": "-00644 0 0 1"},
        file("usr/a", b"x"),
        hardlink("usr/b", "usr/a"),
        hardlink("usr/c", "usr/b"),
    ),
    _imported(
        "hard-link-to-link",
        {"usr/b": "l00777 0 0 0 -> /etc/shadow"},
        symlink("usr/a", "/etc/shadow"),
        hardlink("usr/b", "usr/a"),
    ),
    _refused("through-link", _TWO, symlink("usr/a", "/etc"), file("usr/a/passwd")),
    _refused("through-link-later", _TWO, file("usr/a/passwd"), symlink("usr/a", "/etc")),
    _refused(
        "through-hard-link",
        _TWO,
        symlink("usr/s", "/etc"),
        hardlink("usr/a", "usr/s"),
        file("usr/a/passwd"),
    ),
    _imported(
        "link-out-of-the-tree",
        {"usr/a": "l00777 0 0 0 -> ../../../../etc/shadow"},
        symlink("usr/a", "../../../../etc/shadow"),
    ),
    _refused("link-empty", "target", symlink("usr/a", ""), once="staged, then lost at shutdown"),
    _refused("link-long", "target", symlink("usr/a", "t" * 5000), once="lost at shutdown"),
    _imported(
        "link-replaces-directory", {"usr/share": "l00777 0 0 0 -> bin"}, symlink("usr/share", "bin")
    ),
    _imported("etc-is-link", {}, symlink("usr/etc-link", "../etc")),
    _refused("usr-is-link", "no kernel", symlink("usr", "/tmp")),
    _refused("etc-is-link-away", "no directory /etc", symlink("etc", "usr/share")),
    _imported("many-links", {}, *(symlink(f"usr/l{n}", "x") for n in range(1000))),
    _imported(
        "many-hard-links",
        {},
        file("usr/a", b"x"),
        *(hardlink(f"usr/l{n}", "usr/a") for n in range(1000)),
    ),
]

_OWNERS = [
    _refused(
        "uid-2^32",
        "belongs to the user|not a valid tar",
        file("usr/a", uid=1 << 32),
        once="became 0, on a setuid file",
    ),
    _refused("gid-2^32", "belongs to the group", file("usr/a", gid=1 << 32), once="became 0"),
    _refused(
        "uid-2^32-1",
        "belongs to the user|not a valid tar",
        file("usr/a", uid=(1 << 32) - 1),
        once="fsck failed",
    ),
    _refused(
        "gid-2^32-1", "belongs to the group", file("usr/a", gid=(1 << 32) - 1), once="fsck failed"
    ),
    _refused("uid-2^64", "belongs to the user|not a valid tar", file("usr/a", uid=1 << 64)),
    _imported("uid-2^31", {"usr/a": f"-00644 {1 << 31} 5 0"}, file("usr/a", uid=1 << 31, gid=5)),
    _raw(
        "uid-negative", whole(entry(uid=numeral(-1))), refused="belongs to the user|not a valid tar"
    ),
    _raw("uid-no-number", whole(entry(uid=b"zzzz")), refused="not a valid tar"),
    _raw("uid-blank", whole(entry(content=b"x", uid=b"")), raw="-00644 0 0 1"),
    _raw(
        "pax-uid-negative",
        whole(pax({"uid": "-1"}), entry()),
        refused="belongs to the user|not a valid tar",
    ),
    _raw("pax-uid-float", whole(pax({"uid": "0.5"}), entry()), refused="."),
    _raw(
        "pax-uid-huge",
        whole(pax({"uid": "9" * 400}), entry()),
        refused="belongs to the user|not a valid tar",
    ),
    _imported("setuid", {"usr/a": "-04755 0 0 0"}, file("usr/a", mode=0o4755)),
    _imported("mode-bits-above", {"usr/a": "-00644 0 0 0"}, file("usr/a", mode=0o100644)),
    _raw("mode-no-number", whole(entry(mode=b"rw-r--r")), refused="not a valid tar"),
    _raw("mode-negative", whole(entry(mode=numeral(-1)))),
    _refused(
        "directory-uid-2^32", "belongs to the user|not a valid tar", directory("usr/d", uid=1 << 32)
    ),
    _imported("mtime-negative", {"usr/a": "-00644 0 0 0"}, file("usr/a", mtime=-5)),
    _imported("mtime-2^63", {"usr/a": "-00644 0 0 0"}, file("usr/a", mtime=1 << 63)),
]

_ATTRIBUTES = [
    _refused("xattr-empty", "attribute", file("usr/a", xattrs={"user.a": ""}), once="fsck failed"),
    _refused("xattr-empty-name", "attribute", file("usr/a", xattrs={"": "x"})),
    _raw(
        "xattr-name-not-utf8",
        whole(pax(record(b"SCHILY.xattr.user.\xff", b"x")), entry()),
        refused=".",
        once="a traceback: UnicodeEncodeError",
    ),
    _raw("xattr-value-bytes", whole(pax(record("SCHILY.xattr.user.a", b"\xff\0\n")), entry())),
    _refused("xattr-large", "attribute", file("usr/a", xattrs={"user.a": "x" * 70_000})),
    _refused("xattr-no-namespace", "attribute", file("usr/a", xattrs={"plain": "x"})),
    _imported(
        "xattr-capability",
        {},
        file(
            "usr/a", xattrs={"security.capability": "\x01\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"}
        ),
    ),
    _imported("xattrs-many", {}, file("usr/a", xattrs={f"user.{n}": "x" for n in range(20)})),
    _refused(
        "xattrs-too-many",
        "attribute",
        file("usr/a", xattrs={f"user.{n}": "x" * 60 for n in range(2000)}),
    ),
]

_ORDER = [
    _refused("file-and-directory", _TWO, file("usr/a"), file("usr/a/b")),
    _refused("directory-and-file", _TWO, file("usr/a/b"), file("usr/a")),
    _refused("kernel-directory-is-file", "no kernel", file(KERNEL, b"x")),
    _imported("twice", {"usr/a": "-00644 0 0 2"}, file("usr/a", b"1"), file("usr/a", b"22")),
    _imported(
        "file-then-link", {"usr/a": "l00777 0 0 0 -> b"}, file("usr/a"), symlink("usr/a", "b")
    ),
    _imported(
        "directory-twice",
        {"usr/d": "d00700 0 0 0"},
        directory("usr/d"),
        directory("usr/d", mode=0o700),
    ),
    _imported(
        "directory-after-its-files",
        {"usr/d": "d00700 0 0 0"},
        file("usr/d/f"),
        directory("usr/d", mode=0o700),
    ),
    _imported(
        "one-name-500-times",
        {"usr/a": "-00644 0 0 4"},
        *(file("usr/a", b"%4d" % n) for n in range(500)),
    ),
    _raw("no-member", whole()),
    _raw("no-byte", b""),
]

_WHITEOUTS = [
    _refused("whiteout-nameless", "whiteout without a name in ", file("usr/.wh.")),
    _imported("whiteout-of-dot-dot", {"usr/bin/tool": "-00644 0 0 10"}, whiteout("usr/..")),
    _imported("whiteout-of-dot", {"usr/bin/tool": "-00644 0 0 10"}, whiteout("usr/.")),
    _imported("whiteout-of-nothing", {"usr/nothing": None}, whiteout("usr/nothing")),
    _imported("whiteout-of-file", {"usr/bin/tool": None}, whiteout("usr/bin/tool")),
    _imported("opaque", {"usr/share/notes": None}, opaque("usr/share")),
    _imported("opaque-not-there", {"usr/none": "d00755 0 0 0"}, opaque("usr/none")),
    _imported(
        "whiteout-and-file",
        {"usr/share/notes": "-00644 0 0 1"},
        file("usr/share/notes", b"2"),
        whiteout("usr/share/notes"),
    ),
    _imported("whiteout-link", {"usr/bin/tool": None}, symlink("usr/bin/.wh.tool", "x")),
    _imported("whiteout-of-whiteout", {}, file("usr/.wh..wh.x")),
    _imported("whiteout-prefix-alone", {}, file("usr/.whx")),
    _refused("whiteout-of-usr", "no kernel", whiteout("usr")),
    _refused("opaque-root", "no kernel", file(".wh..wh..opq")),
]

ROWS = [*_NAMES, *_KINDS, *_LINKS, *_OWNERS, *_ATTRIBUTES, *_ORDER, *_WHITEOUTS]


@pytest.mark.parametrize("row", ROWS, ids=attrgetter("id"))
def test_members(ground: Ground, row: Row) -> None:
    ground.check(row)
