"""podman's storage, laid out in a directory."""

import json
from pathlib import Path
from typing import Any

import pytest

from bootcpy.errors import EnvironmentMismatchError, ImageUnavailableError
from bootcpy.model.image.reference import ImageReference
from bootcpy.system.image.containers_storage import (
    OwnImage,
    find_layer_trees,
    image_id_of,
    own_image,
)
from tests.refusals import refused

IMAGE = "1" * 64


def test_own_image_is_named_by_its_id() -> None:
    own = OwnImage(name="quay.io/a:1", image_id=IMAGE)
    assert str(own.reference) == f"containers-storage:@{IMAGE}"
    assert image_id_of(own.reference) == IMAGE


def test_own_image_needs_the_storage(tmp_path: Path) -> None:
    with refused(
        EnvironmentMismatchError,
        "not visible",
        hint="add -v /var/lib/containers:/var/lib/containers to podman run",
    ):
        own_image("quay.io/a:1", IMAGE, storage=tmp_path)
    (tmp_path / "overlay-images").mkdir()
    own = own_image("quay.io/a:1", IMAGE, storage=tmp_path)
    assert own == OwnImage(name="quay.io/a:1", image_id=IMAGE)


@pytest.mark.parametrize("text", ["containers-storage:localhost/a:1", f"oci:@{IMAGE}"])
def test_image_id_of_other_references(text: str) -> None:
    assert image_id_of(ImageReference.parse(text)) is None


def _layer(name: str, parent: str | None = None, **more: object) -> dict[str, Any]:
    return {"id": name, "diff-digest": f"d{name}", **({"parent": parent} if parent else {}), **more}


def _storage(directory: Path, layers: list[dict[str, Any]], *, top: str) -> Path:
    for name, records in (("layers", layers), ("images", [{"id": IMAGE, "layer": top}])):
        path = directory / f"overlay-{name}/{name}.json"
        path.parent.mkdir()
        path.write_text(json.dumps(records), encoding="utf-8")
    for layer in layers:
        (directory / "overlay" / layer["id"] / "diff").mkdir(parents=True)
    return directory


CHAIN = [_layer("c", "b"), _layer("a"), _layer("b", "a"), _layer("unrelated")]


def test_find_layer_trees_returns_them_by_their_diff_ids(tmp_path: Path) -> None:
    storage = _storage(tmp_path, CHAIN, top="c")
    found = find_layer_trees(IMAGE, ("da", "db", "dc"), storage=storage)
    assert found == {f"d{name}": tmp_path / f"overlay/{name}/diff" for name in "abc"}


@pytest.mark.parametrize(
    ("layers", "top", "diff_ids"),
    [
        (CHAIN, "c", ("da", "db")),
        (CHAIN, "c", ("da", "db", "dx")),
        (CHAIN, "c", ()),
        (CHAIN, "gone", ("da",)),
        ([_layer("b", "gone")], "b", ("db",)),
        ([_layer("a", uidmap=[{"size": 1}])], "a", ("da",)),
        ([_layer("a", "b"), _layer("b", "a")], "a", ("db", "da")),
    ],
    ids=[
        "fewer layers",
        "another layer",
        "no layers",
        "image without its layer",
        "layer without its parent",
        "mapped owners",
        "circle",
    ],
)
def test_find_layer_trees_finds_none(
    tmp_path: Path, layers: list[dict[str, Any]], top: str, diff_ids: tuple[str, ...]
) -> None:
    assert find_layer_trees(IMAGE, diff_ids, storage=_storage(tmp_path, layers, top=top)) is None


def test_find_layer_trees_finds_none_of_other_images(tmp_path: Path) -> None:
    storage = _storage(tmp_path, CHAIN, top="c")
    assert find_layer_trees("2" * 64, ("da", "db", "dc"), storage=storage) is None


def test_find_layer_trees_finds_none_when_a_tree_is_gone(tmp_path: Path) -> None:
    storage = _storage(tmp_path, CHAIN, top="c")
    (tmp_path / "overlay/b/diff").rmdir()
    assert find_layer_trees(IMAGE, ("da", "db", "dc"), storage=storage) is None


def test_find_layer_trees_finds_none_without_an_overlay_storage(tmp_path: Path) -> None:
    assert find_layer_trees(IMAGE, ("da",), storage=tmp_path) is None


@pytest.mark.parametrize("text", ["{", "[5]", '[{"layer": "a"}]', "5"])
def test_find_layer_trees_refuses_corrupt_records(tmp_path: Path, text: str) -> None:
    storage = _storage(tmp_path, CHAIN, top="c")
    (tmp_path / "overlay-images/images.json").write_text(text, encoding="utf-8")
    with refused(
        ImageUnavailableError,
        r"records of .* are corrupt",
        hint="see what `podman system check` says, or pull the image again",
    ):
        find_layer_trees(IMAGE, ("da",), storage=storage)
