"""What a layer is in its image, and the refs that vouch for it."""

import json

import pytest

from bootcpy.errors import ImageContentError
from bootcpy.model.image.oci import ImageConfig, Manifest, classify_layers
from bootcpy.model.image.role import (
    LayerRole,
    image_record,
    in_roles,
    layer_record,
    layer_records,
)
from tests.refusals import refused

_DIFF_IDS = [f"sha256:{digit * 64}" for digit in "123"]


def _image(final: str | None) -> tuple[Manifest, ImageConfig]:
    labels = {"ostree.final-diffid": final} if final else {}
    layers = [{"digest": f"sha256:{index:064}", "size": 1} for index in range(3)]
    manifest = Manifest.parse(json.dumps({"config": layers[0], "layers": layers}))
    config = {"config": {"Labels": labels}, "rootfs": {"diff_ids": _DIFF_IDS}}
    return manifest, ImageConfig.parse(json.dumps(config))


def _ref(role: str, digit: str) -> str:
    return f"bootcpy/layer/{role}/sha256_3A_{digit * 64}"


@pytest.mark.parametrize(
    ("final", "roles", "records"),
    [
        (None, "tree tree tree", {_ref("tree", digit) for digit in "123"}),
        (
            _DIFF_IDS[0],
            "commit tree tree",
            {_ref("commit", "1")}
            | {_ref(role, digit) for role in ("tree", "usr-tree") for digit in "23"},
        ),
        (
            _DIFF_IDS[1],
            "commit chunk tree",
            {_ref("commit", "1"), _ref("chunk", "2"), _ref("tree", "3"), _ref("usr-tree", "3")},
        ),
        (
            _DIFF_IDS[2],
            "commit chunk chunk",
            {_ref("commit", "1"), _ref("chunk", "2"), _ref("chunk", "3")},
        ),
    ],
)
def test_roles_and_records(final: str | None, roles: str, records: set[str]) -> None:
    manifest, config = _image(final)
    found = in_roles(classify_layers(manifest, config), LayerRole.TREE)
    assert " ".join(role for role, _ in found) == roles
    assert [layer.diff_id for _, layer in found] == _DIFF_IDS
    assert layer_records(manifest, config) == records


def test_an_ordinary_layer_is_a_tree() -> None:
    derived = {role for role in LayerRole if role.is_derived}
    assert derived == {LayerRole.TREE, LayerRole.USR_TREE}


@pytest.mark.parametrize("diff_id", ["", "x", "sha256:12", f"sha256:{'a' * 64}/b", "sha512:12"])
def test_layer_record_refuses_what_is_no_digest(diff_id: str) -> None:
    with refused(
        ImageContentError, "no sha256 digest", hint="the image is malformed; build it again"
    ):
        layer_record(LayerRole.TREE, diff_id)


def test_image_record_is_of_one_piece() -> None:
    assert image_record("sha256:12") == "bootcpy/image/sha256_3A_12"
    assert image_record("a/b") == "bootcpy/image/a_2F_b"
