"""Images that say of layers what is not so, and honest images that come after them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import pytest

from tests.hostile.ground import Ground, Row, Words
from tests.hostile.images import BASE, Blob, Layout, layer, of_tar
from tests.layers import compressed, directory, file, tar

_Made = Callable[[Blob, Blob], Layout]
_EVIL, _GOOD = "-04755 0 0 5", "-00755 0 0 4"


def _blobs(name: str) -> tuple[Blob, Blob]:
    """Return an evil and a good layer for the same file, which no other row has."""
    mark = file(f"usr/mark-{name}", name.encode())
    evil = layer(directory("usr"), mark, file("usr/sudo", b"evil\n", mode=0o4755))
    return evil, layer(directory("usr"), mark, file("usr/sudo", b"good", mode=0o755))


def _row(
    name: str,
    before: Sequence[_Made],
    honest: _Made = lambda _evil, good: Layout((BASE, good)),
    refused: str = "",
    tree: dict[str, str | None] | None = None,
    once: str = "",
) -> Row:
    """Return a row whose images are switched to in turn; only the last one's outcome counts."""

    def words(ground: Ground, place: Path) -> Words:
        blobs = _blobs(name)
        for number, make in enumerate(before):
            layout = make(*blobs).write(place / f"before-{number}")
            outcome = ground.run(["switch", "--quiet", "--transport=oci", layout])
            assert b"Traceback" not in outcome.stderr
        layout = honest(*blobs).write(place / "image")
        return ["switch", "--quiet", "--transport=oci", layout]

    wanted = {} if refused else (tree or {"usr/sudo": _GOOD})
    return Row(id=name, words=words, refused=refused, tree=wanted, once=once)


def _says(blob: Blob, other: Blob) -> Blob:
    """Return a layer with another's diff_id."""
    return replace(blob, diff_id=other.diff_id)


def _repacked(blob: Blob) -> Blob:
    """Return the same layer under another digest."""
    return replace(blob, content=blob.content + compressed(b""))


def _named(blob: Blob, other: Blob) -> Blob:
    """Return a layer under another's digest."""
    return replace(blob, digest=_digest(other))


def _digest(blob: Blob) -> str:
    from tests.layers import sha256

    return blob.digest or sha256(blob.content)


_ONCE = "the honest image got the evil file: set-user-ID"

ROWS = [
    _row("honest-alone", []),
    _row("evil-for-good-in-one-image", [lambda e, g: Layout((BASE, e, _says(e, g)))], once=_ONCE),
    _row(
        "evil-then-lie",
        [
            lambda e, _: Layout((BASE, e)),
            lambda e, g: Layout((BASE, _says(e, g)), labels={"v": "2"}),
        ],
        once=_ONCE,
    ),
    _row("lie-alone", [lambda e, g: Layout((BASE, _says(e, g)))], once=_ONCE),
    _row(
        "lie-repacked",
        [
            lambda e, _: Layout((BASE, e)),
            lambda e, g: Layout((BASE, _says(_repacked(e), g))),
        ],
        once=_ONCE,
    ),
    _row(
        "good-repacked-after-lie",
        [lambda e, _: Layout((BASE, e)), lambda e, g: Layout((BASE, _says(e, g)))],
        lambda _, g: Layout((BASE, _repacked(g))),
        once=_ONCE,
    ),
    _row(
        "good-repacked", [lambda _, g: Layout((BASE, g))], lambda _, g: Layout((BASE, _repacked(g)))
    ),
    _row("one-blob-two-diff-ids", [], lambda e, g: Layout((BASE, e, _says(e, g))), "diff_id"),
    _row(
        "one-blob-two-diff-ids-present",
        [lambda e, _: Layout((BASE, e))],
        lambda e, g: Layout((BASE, e, _says(e, g))),
        "diff_id",
    ),
    _row(
        "lie-of-present-layer",
        [lambda e, _: Layout((BASE, e))],
        lambda e, g: Layout((BASE, _says(e, g))),
        "diff_id",
    ),
    _row("digest-of-good-over-evil", [lambda e, g: Layout((BASE, _named(e, g)))]),
    _row("digest-of-good-and-its-diff-id", [lambda e, g: Layout((BASE, _named(_says(e, g), g)))]),
    _row(
        "good-as-chunk-before",
        [
            lambda _, g: Layout((BASE, g), labels={"ostree.final-diffid": g.diff_id}),
        ],
        once="an empty tree: the files of the honest image vanished",
    ),
    _row(
        "good-as-commit-layer-before",
        [
            lambda _, g: Layout((g, BASE), labels={"ostree.final-diffid": g.diff_id}),
        ],
    ),
    _row(
        "label-lost",
        [lambda _, g: Layout((BASE, g))],
        lambda _, g: Layout((BASE, g), labels={"ostree.final-diffid": g.diff_id}),
        ".",
    ),
    _row(
        "order-swapped",
        [lambda e, g: Layout((BASE, e, g))],
        lambda e, g: Layout((BASE, g, e)),
        tree={"usr/sudo": _EVIL},
    ),
]


def _prefix(first: str, second: str) -> Row:
    """Return a row whose images' names are each other's directories."""

    def words(ground: Ground, place: Path) -> Words:
        for name in (first, second):
            layout = Layout(labels={"version": name}).write(place / name)
            if name == first:
                ground.run(["switch", "--quiet", "--transport=oci", layout])
        return ["switch", "--quiet", "--transport=oci", place / second]

    once = "a traceback: Not a directory"
    return Row(
        id=f"{first}-then-{second}",
        words=words,
        tree={"usr/share/notes": "-00644 0 0 4"},
        once=once,
    )


_NAMES = [_prefix("os", "os/sub"), _prefix("os/sub", "os"), _prefix("os", "os.lock")]


@pytest.mark.parametrize("row", [*ROWS, *_NAMES], ids=attrgetter("id"))
def test_trust(ground: Ground, row: Row) -> None:
    ground.check(row)


def test_the_layers_of_these_rows_are_their_own() -> None:
    assert _blobs("a") != _blobs("b")
    assert of_tar(tar()).diff_id != _blobs("a")[0].diff_id
