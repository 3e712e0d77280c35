"""OCI image directories written by hand, so that a test decides about every byte."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bootcpy.model.image.reference import ImageReference, Transport, escape_ref
from tests.layers import Member, compressed, sha256, tar

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
BOOTABLE = {"containers.bootc": "1", "org.opencontainers.image.version": "13.1"}
CREATED = "2026-10-14T19:22:15Z"


@dataclass(frozen=True)
class LayerBlob:
    """A layer as it is stored, and what the configuration and the manifest claim of it."""

    blob: bytes
    diff_id: str
    media_type: str = f"{LAYER}+gzip"
    claimed: str | None = None  # a lie about the blob, when given

    @property
    def digest(self) -> str:
        return self.claimed or sha256(self.blob)

    @property
    def ref(self) -> str:
        """The layer's ref without the prefix that all container refs have."""
        return f"blob/{escape_ref(self.digest)}"

    @classmethod
    def of(cls, *members: Member) -> "LayerBlob":
        return cls.of_tar(tar(*members))

    @classmethod
    def of_tar(cls, archive: bytes) -> "LayerBlob":
        return cls(compressed(archive), sha256(archive))


@dataclass
class OciDirectory:
    """An image layout; images are added to it by tag."""

    path: Path
    _manifests: dict[str, dict[str, Any]] = field(default_factory=dict)

    _seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        (self.path / "blobs/sha256").mkdir(parents=True)
        (self.path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}', encoding="utf-8")

    def blob_path(self, digest: str) -> Path:
        return self.path / "blobs" / digest.replace(":", "/")

    def add_blob(self, content: bytes, digest: str | None = None) -> str:
        digest = digest or sha256(content)
        if digest not in self._seen:
            self._seen.add(digest)
            self.blob_path(digest).write_bytes(content)
        return digest

    def add_image(
        self,
        layers: Sequence[LayerBlob],
        *,
        tag: str = "latest",
        labels: Mapping[str, str] = BOOTABLE,
        created: str | None = CREATED,
        architecture: str = "amd64",
    ) -> ImageReference:
        """Write an image and return how to refer to it; blobs that were removed stay away."""
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Labels": dict(labels)},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created_by": f"layer {index}"} for index, _ in enumerate(layers)],
        } | ({"created": created} if created else {})
        config_text = json.dumps(config).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {
                "mediaType": _CONFIG,
                "digest": self.add_blob(config_text),
                "size": len(config_text),
            },
            "layers": [
                {
                    "mediaType": layer.media_type,
                    "digest": self.add_blob(layer.blob, layer.claimed),
                    "size": len(layer.blob),
                }
                for layer in layers
            ],
        }
        manifest_text = json.dumps(manifest).encode()
        self._manifests[tag] = {
            "mediaType": _MANIFEST,
            "digest": self.add_blob(manifest_text),
            "size": len(manifest_text),
            "annotations": {"org.opencontainers.image.ref.name": tag},
        }
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [*self._manifests.values()]}
        (self.path / "index.json").write_text(json.dumps(index), encoding="utf-8")
        return ImageReference(Transport.OCI, f"{self.path}:{tag}")

    def config_digest(self, tag: str) -> str:
        """Return the digest of an image's configuration, which podman calls the image's id."""
        manifest = json.loads(self.blob_path(self._manifests[tag]["digest"]).read_bytes())
        digest: str = manifest["config"]["digest"]
        return digest
