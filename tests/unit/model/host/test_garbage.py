"""Which refs a collection deletes, from facts alone."""

from dataclasses import replace

import pytest

from bootcpy.model.host.garbage import Garbage, ImageRefFacts, Pruned, plan_gc
from bootcpy.model.image.reference import ImageReference

PREFIX = "blob"


def _image(name: str, *layers: str) -> ImageRefFacts:
    reference = ImageReference.parse(f"docker://{name}")
    return ImageRefFacts(ref=f"image/{name}", reference=reference, layers=layers)


def _foreign(name: str, *layers: str) -> ImageRefFacts:
    return ImageRefFacts(ref=f"image/{name}", reference=None, layers=layers)


def _refs(*layers: str) -> list[str]:
    return [f"{PREFIX}/{layer}" for layer in layers]


@pytest.mark.parametrize(
    ("images", "deployed", "rooted", "layers", "expected"),
    [
        ([], [], [], [], ((), (), ())),
        ([_image("a", "1", "2")], ["a"], [], ["1", "2"], ((), (), ())),
        (
            [_image("a", "1", "2"), _image("b", "1", "3")],
            ["a"],
            [],
            ["1", "2", "3"],
            (("image/b",), ("blob/3",), ()),
        ),
        ([_image("a", "1")], ["a:old"], [], ["1"], (("image/a",), ("blob/1",), ())),
        # The image ref is named after a digest, the origin after the tag: the commit is held.
        ([_image("a@sha256", "1")], ["a"], ["1"], ["1"], (("image/a@sha256",), (), ())),
        ([], [], ["1"], ["1", "2"], ((), ("blob/2",), ())),
        ([_foreign("x", "1")], [], [], ["1", "2"], ((), ("blob/2",), ("image/x",))),
        ([_image("a", "1")], ["a"], [], [], ((), (), ())),
    ],
    ids=[
        "nothing",
        "in use",
        "shared layer",
        "another tag",
        "held by the deployment's own ref",
        "held by a root only",
        "somebody else's",
        "layer ref missing",
    ],
)
def test_plan_gc(
    images: list[ImageRefFacts],
    deployed: list[str],
    rooted: list[str],
    layers: list[str],
    expected: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]],
) -> None:
    found = plan_gc(
        images,
        deployed=[ImageReference.parse(f"docker://{name}") for name in deployed],
        rooted_layers=rooted,
        layer_refs=_refs(*layers),
        layer_prefix=PREFIX,
    )
    assert found == Garbage(images=expected[0], layers=expected[1], foreign=expected[2])


def test_plan_gc_compares_digests_as_refs_spell_them() -> None:
    found = plan_gc(
        [_image("a", "sha256:12")],
        deployed=[ImageReference.parse("registry:a")],
        rooted_layers=[],
        layer_refs=_refs("sha256_3A_12", "sha256_3A_34"),
        layer_prefix=PREFIX,
    )
    assert found.layers == ("blob/sha256_3A_34",)


@pytest.mark.parametrize(
    ("deployed", "rooted", "expected"),
    [
        (["a", "b"], [], ["left"]),
        (["a"], [], ["b", "left"]),
        (["a"], ["b"], ["left"]),
        ([], ["left"], ["a", "b", "both"]),
    ],
    ids=["all in use", "one image goes", "held by a root", "of a root only"],
)
def test_plan_gc_keeps_what_vouches_for_what_is_kept(
    deployed: list[str], rooted: list[str], expected: list[str]
) -> None:
    images = [
        replace(_image("a", "1"), records=frozenset({"a", "both"})),
        replace(_image("b", "1"), records=frozenset({"b", "both"})),
    ]
    found = plan_gc(
        images,
        deployed=[ImageReference.parse(f"docker://{name}") for name in deployed],
        rooted_layers=[],
        layer_refs=[],
        layer_prefix=PREFIX,
        rooted_records=rooted,
        record_refs=["a", "b", "both", "left"],
    )
    assert found.records == tuple(expected)


def test_plan_gc_keeps_what_vouches_for_an_image_of_somebody_else() -> None:
    images = [replace(_foreign("x", "1"), records=frozenset({"x"}))]
    found = plan_gc(
        images,
        deployed=[],
        rooted_layers=[],
        layer_refs=[],
        layer_prefix=PREFIX,
        record_refs=["x"],
    )
    assert found == Garbage(images=(), layers=(), foreign=("image/x",))


def test_pruned_is_true_when_anything_was_removed() -> None:
    assert not Pruned(images=0, layers=0, object_bytes=0)
    assert Pruned(images=0, layers=0, object_bytes=1)
