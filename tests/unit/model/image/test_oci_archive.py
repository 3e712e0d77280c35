import json

import pytest

from bootcpy.model.image.oci_archive import FileBlob, index_of, manifest_of, renewed_config

_ONE, _TWO = (FileBlob(digest=f"sha256:{digit * 64}", size_bytes=int(digit)) for digit in "12")
_HISTORY = [{"created_by": "a"}, {"created_by": "ENV", "empty_layer": True}, {"created_by": "b"}]


@pytest.mark.parametrize(
    ("layers", "keeps"), [((_ONE, _TWO), True), ((_ONE,), False)], ids=["as before", "flattened"]
)
def test_renewed_config(layers: tuple[FileBlob, ...], *, keeps: bool) -> None:
    old = {
        "architecture": "amd64",
        "config": {"Labels": {"containers.bootc": "1"}},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:old"]},
        "history": _HISTORY,
    }
    new = json.loads(renewed_config(json.dumps(old), layers))
    assert new.pop("rootfs") == {"type": "layers", "diff_ids": [each.digest for each in layers]}
    assert new.pop("history", None) == (_HISTORY if keeps else None)
    assert new == {"architecture": "amd64", "config": {"Labels": {"containers.bootc": "1"}}}


def test_manifest_and_index_name_their_blobs() -> None:
    manifest = json.loads(manifest_of(_ONE, [_TWO]))
    assert manifest["config"] == {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": _ONE.digest,
        "size": 1,
    }
    assert manifest["layers"] == [
        {
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": _TWO.digest,
            "size": 2,
        }
    ]
    assert json.loads(index_of(_TWO))["manifests"][0]["digest"] == _TWO.digest
