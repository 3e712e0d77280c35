"""Which layers of an image are to be fetched."""

from collections.abc import Mapping

from bootcpy.model.image.missing import MissingLayers, WantedLayer, wanted_layers
from bootcpy.model.image.oci import Descriptor, Layer, LayerPlan
from bootcpy.model.image.role import LayerRole


def _blob(digest: str, size_bytes: int, annotations: Mapping[str, str] | None = None) -> Descriptor:
    return Descriptor(
        media_type="tar", digest=digest, size_bytes=size_bytes, annotations=annotations or {}
    )


COMMIT = Layer(blob=_blob("commit", 1), diff_id="d-commit")
SHARED = Layer(blob=_blob("shared", 20), diff_id="d-shared")
AGAIN = Layer(blob=_blob("shared", 20, {"a": "second"}), diff_id="d-shared")
OTHERWISE = Layer(blob=_blob("otherwise", 25), diff_id="d-shared")  # compressed another way
UPPER = Layer(blob=_blob("upper", 300), diff_id="d-upper")
PLAN = LayerPlan(commit=COMMIT, chunks=(SHARED,), derived=(SHARED, UPPER, AGAIN, OTHERWISE))
DELIVERED = {
    layer.blob.digest: _blob(f"raw-{layer.blob.digest}", 2 * layer.blob.size_bytes)
    for layer in (COMMIT, SHARED, OTHERWISE, UPPER)
}
WANTED = wanted_layers(PLAN, LayerRole.TREE, DELIVERED)
NOTHING = MissingLayers(layers=(), present=0, present_bytes=0, unchecked=frozenset())


def _wanted(layer: Layer, role: LayerRole) -> WantedLayer:
    return WantedLayer(layer, DELIVERED[layer.blob.digest], role)


def test_wanted_layers_go_from_the_bottom_to_the_top_with_what_is_delivered() -> None:
    found = wanted_layers(PLAN, LayerRole.TREE, DELIVERED)
    assert found == (
        _wanted(COMMIT, LayerRole.COMMIT),
        _wanted(SHARED, LayerRole.CHUNK),
        _wanted(SHARED, LayerRole.TREE),
        _wanted(UPPER, LayerRole.TREE),
        _wanted(AGAIN, LayerRole.TREE),
        _wanted(OTHERWISE, LayerRole.TREE),
    )


def test_a_layer_is_missing_once_in_each_of_its_roles() -> None:
    assert MissingLayers.of(WANTED, checked=(), stored=()) == MissingLayers(
        layers=WANTED[:4], present=0, present_bytes=0, unchecked=frozenset()
    )


def test_what_is_here_counts_once_too() -> None:
    known = {each for each in WANTED if each.layer.diff_id == "d-shared"}
    missing = MissingLayers.of(WANTED, checked=known, stored={"upper", "elsewhere"})
    assert missing == MissingLayers(
        layers=(WANTED[0], WANTED[3]),
        present=2,
        present_bytes=20 + 20,
        unchecked=frozenset({"upper"}),
    )
    assert missing.describe() == "layers already present: 2; layers needed: 2 (602 B)"
    assert missing.new == [DELIVERED["commit"]]
    assert missing.unchecked_bytes == 600
    assert (missing.describe_unchecked() or "").endswith(": 1")


def test_parts_of_an_image_add_up() -> None:
    whole = MissingLayers.of(WANTED, checked=[WANTED[0]], stored={"commit", "upper"})
    parts = [
        MissingLayers.of(part, checked=[WANTED[0]], stored={"commit", "upper"})
        for part in (WANTED[:2], WANTED[2:])
    ]
    assert parts[0] + parts[1] == whole
    assert NOTHING + whole == whole
    assert NOTHING.describe_unchecked() is None
