"""Text of an image that reaches the terminal: nothing of it may do more than be read."""

from operator import attrgetter

import pytest

from tests.hostile.ground import Ground, Row, switch
from tests.hostile.images import BASE, GONE, KERNEL, ZEROS, Layout, layer, tree
from tests.layers import Member, file

_SHOWN = (["status"], ["status", "--verbose"], ["status", "--json"], ["status", "--format=yaml"])
_ODD = {
    "escape": "1\x1b[31mred\x1b[2J",
    "title": "1\x1b]0;owned\x07",
    "c1": "1\x9b31m\x9d0;owned\x9c",
    "newline": "1\nerror: forged\nhint: run curl",
    "return": "1\rerror: forged",
    "bidi": "1\u202e\u2066gnp.exe\u2069",
    "separators": "1\u2028error: forged\u2029\x85x",
    "nul": "1\x00x",
    "delete": "1\x08\x08\x7f",
    "zero-width": "1\u200b\u200d\ufeff",
    "private": "1\ue000\U000f0000",
    "surrogate": "1\ud800",
    "tags": "1\U000e0041\U000e0042",
    "long": "1" * 5000,
    "blank": " ",
}


def _labels() -> list[Row]:
    rows = []
    for name, text in _ODD.items():
        for label in ("version", "org.opencontainers.image.version"):
            words = switch(Layout(labels={label: text}))
            rows.append(Row(id=f"{label}-{name}", words=words, then=_SHOWN))
    for name in ("escape", "newline", "c1"):
        text = _ODD[name]
        rows += [
            _refused(
                f"final-diffid-{name}", "names no layer", labels={"ostree.final-diffid": text}
            ),
            _refused(f"architecture-{name}", "architecture", config={"architecture": text}),
            _refused(f"label-key-{name}", "no label", labels={"containers.bootc": GONE, text: "x"}),
            _refused(
                f"media-type-{name}",
                ".",
                layers=(BASE, layer()),
                layer_descriptor={"mediaType": text, "digest": ZEROS},
            ),
            _refused(
                f"diff-id-{name}", ".", config={"rootfs": {"type": "layers", "diff_ids": [text]}}
            ),
        ]
    return rows


def _refused(name: str, message: str, **changes: object) -> Row:
    return Row(id=name, words=switch(Layout(**changes)), refused=message)  # type: ignore[arg-type]


def _of_files() -> list[Row]:
    rows = []
    for name in ("escape", "newline", "c1", "bidi", "separators"):
        text = _ODD[name]
        members = tree({})
        files: dict[str, list[Member]] = {
            "kernel": [file(f"usr/lib/modules/{text}/vmlinuz", b"x")],
            "kargs.d": [file(f"usr/lib/bootc/kargs.d/{text}.toml", b"kargs = 1\n")],
            "kargs-key": [file("usr/lib/bootc/kargs.d/x.toml", _toml_key(text))],
            "kargs-value": [file("usr/lib/bootc/kargs.d/x.toml", _toml_value(text))],
            "prepare-root": [
                file("usr/lib/ostree/prepare-root.conf", text.encode(errors="replace"))
            ],
            "member": [file(f"../{text}", b"x")],
        }
        for what, added in files.items():
            words = switch(Layout((layer(*members, *added),)))
            rows.append(Row(id=f"{what}-{name}", words=words, refused="."))
    return rows


def _toml_key(text: str) -> bytes:
    return f'"{_toml(text)}" = 1\n'.encode()


def _toml_value(text: str) -> bytes:
    return f'kargs = ["a=\\n{_toml(text)}"]\n'.encode()


def _toml(text: str) -> str:
    return "".join(f"\\U{ord(c):08x}" for c in text)


_LONG = [
    Row(
        id="kernels-many",
        refused="more than one kernel|more than 1,000 entries",
        words=switch(
            Layout((
                BASE,
                layer(*(file(f"usr/lib/modules/{n}/vmlinuz", b"x") for n in range(2000))),
            ))
        ),
        once="an error of a megabyte on one line",
    ),
    Row(
        id="kernel-name-long",
        refused="more than one kernel",
        words=switch(
            Layout((
                BASE,
                layer(*(file(f"usr/lib/modules/{n * 50}/vmlinuz", b"x") for n in "abcde")),
            ))
        ),
    ),
    Row(
        id="bound-images-many",
        words=switch(
            Layout((
                BASE,
                layer(
                    *(
                        file(f"usr/lib/bootc/bound-images.d/{n}\x1b[31m.image", b"x")
                        for n in range(2000)
                    )
                ),
            ))
        ),
        refused="more than 1,000 entries",
    ),
    Row(id="kernel-good", words=switch(Layout((layer(*tree({f"{KERNEL}/extra\x1b": b"x"})),)))),
]

ROWS = [*_labels(), *_of_files(), *_LONG]


@pytest.mark.parametrize("row", ROWS, ids=attrgetter("id"))
def test_text(ground: Ground, row: Row) -> None:
    ground.check(row)
