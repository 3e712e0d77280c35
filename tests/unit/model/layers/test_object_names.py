"""Members of an embedded commit's layers, by name."""

import pytest

from bootcpy.errors import ImageContentError
from bootcpy.model.layers.object_names import ObjectKind, ObjectName, parse_object_name
from tests.refusals import refused

REST = "cd" * 31
SUM = f"ab{REST}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("./", None),
        ("usr/bin/bash", None),
        ("./usr/bin/bash", None),
        ("sysroot/config", None),
        ("sysroot/ostree/repo/config", None),
        ("./sysroot/ostree/repo/config", None),
        ("sysroot/ostree/repo/refs/heads/x", None),
        ("sysroot/ostree/repository/objects/x", None),
        *(
            (f"sysroot/ostree/repo/objects/ab/{REST}.{kind}", ObjectName(kind, SUM))
            for kind in ObjectKind
        ),
        (f"./sysroot/ostree/repo/objects/ab/{REST}.file", ObjectName(ObjectKind.FILE, SUM)),
        (f"sysroot/ostree/repo/xattrs/{SUM}", ObjectName(ObjectKind.XATTRS, SUM)),
    ],
)
def test_parse_object_name(name: str, expected: ObjectName | None) -> None:
    assert parse_object_name(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "objects",
        f"objects/ab/{REST}",
        f"objects/ab/{REST}.filez",
        f"objects/ab/{REST}.file.",
        f"objects/ab/{REST[:-1]}.file",
        f"objects/AB/{REST}.file",
        f"objects/ab/{REST.upper()}.file",
        f"objects/ab/../ab/{REST}.file",
        f"objects/{SUM}.file",
        "xattrs/abc",
        "tmp/x",
    ],
)
def test_parse_object_name_refuses(name: str) -> None:
    with refused(
        ImageContentError, "no object", hint="the image is malformed or hostile; do not use it"
    ):
        parse_object_name(f"sysroot/ostree/repo/{name}")
