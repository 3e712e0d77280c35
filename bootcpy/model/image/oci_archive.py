"""The two documents of an image made anew from layers that were unpacked."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBlob:
    """A stored file by its content: `sha256:...` and its size."""

    digest: str
    size_bytes: int


def renewed_config(text: str, layers: Sequence[FileBlob]) -> str:
    """Return the configuration `text` with `layers`, plain tars, as the root file system.

    The history stays if it tells of as many layers.
    """
    config: dict[str, Any] = json.loads(text)
    config["rootfs"] = {"type": "layers", "diff_ids": [layer.digest for layer in layers]}
    told = [each for each in config.get("history") or [] if not each.get("empty_layer")]
    if len(told) != len(layers):
        config.pop("history", None)
    return json.dumps(config)


def manifest_of(config: FileBlob, layers: Sequence[FileBlob]) -> str:
    """Return the manifest of an image of plain tars."""
    return json.dumps({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _descriptor(config, _CONFIG_TYPE),
        "layers": [_descriptor(layer, _LAYER_TYPE) for layer in layers],
    })


def index_of(manifest: FileBlob) -> str:
    """Return the index of an OCI layout that holds one image."""
    return json.dumps({"schemaVersion": 2, "manifests": [_descriptor(manifest, MANIFEST_TYPE)]})


def _descriptor(blob: FileBlob, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": blob.digest, "size": blob.size_bytes}
