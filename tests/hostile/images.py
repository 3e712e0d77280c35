"""Images for the hostile corpus: every byte of every document is the row's to decide."""

import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bootcpy.model.base.architecture import Architecture
from tests.layers import Member, compressed, directory, file, sha256, tar
from tests.system.support.disks import initramfs

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
ARCHITECTURE = Architecture.of(platform.machine()).oci
ZEROS = "sha256:" + "0" * 64
KERNEL = "usr/lib/modules/6.12.0-test"
PREPARE_ROOT = "usr/lib/ostree/ostree-prepare-root"
MIB = 1 << 20

FILES: dict[str, bytes] = {
    f"{KERNEL}/vmlinuz": b"kernel",
    f"{KERNEL}/initramfs.img": initramfs(PREPARE_ROOT),
    "usr/lib/os-release": b"ID=test\nPRETTY_NAME=Test\n",
    "usr/lib/ostree/prepare-root.conf": b"[composefs]\nenabled = no\n",
    "usr/bin/tool": b"#!/bin/sh\n",
    "usr/share/notes": b"one\n",
    "etc/shipped": b"1\n",
    "etc/hosts": b"127.0.0.1 localhost\n",
}


@dataclass(frozen=True)
class Blob:
    """A layer as it is delivered, and what is said of it."""

    content: bytes
    diff_id: str
    digest: str = ""  # of the content, unless the manifest lies
    media_type: str = LAYER
    size: int = -1


def layer(*members: Member, form: int = tarfile.PAX_FORMAT) -> Blob:
    """Return a layer of these members, packed as builders do; `form` is one of tarfile's."""
    return of_tar(tar(*members, form=form))


def of_tar(archive: bytes, **said: Any) -> Blob:  # noqa: ANN401 - fields of Blob
    return Blob(compressed(archive), said.pop("diff_id", sha256(archive)), **said)


def tree(files: Mapping[str, bytes | None]) -> list[Member]:
    """Return the members of a system whose files are the usual ones with these changes."""
    found = {name: text for name, text in {**FILES, **files}.items() if text is not None}
    return [directory(top) for top in ("boot", "ostree", "sysroot", "var")] + with_parents([
        file(name, text) for name, text in found.items()
    ])


def with_parents(files: Sequence[Member]) -> list[Member]:
    parents = {str(p): None for each in files for p in reversed(Path(each.header.name).parents)}
    parents.pop(".", None)
    return [*(directory(name) for name in parents), *files]


BASE = layer(*tree({}))

Changes = Mapping[str, Any]
_GONE = object()
GONE: Any = _GONE  # as a value: the key is left out


def changed(document: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """Return the document with these keys set, or left out."""
    merged = {**document, **changes}
    return {key: value for key, value in merged.items() if value is not _GONE}


@dataclass
class Layout:
    """An OCI layout with one image, some of whose parts a row has changed."""

    layers: Sequence[Blob] = (BASE,)
    labels: Changes = field(default_factory=dict)
    config: Changes | bytes = field(default_factory=dict)
    manifest: Changes | bytes = field(default_factory=dict)
    config_descriptor: Changes = field(default_factory=dict)
    layer_descriptor: Changes = field(default_factory=dict)  # of the last layer
    manifest_descriptor: Changes = field(default_factory=dict)
    index: Changes | bytes = field(default_factory=dict)

    def write(self, place: Path) -> Path:
        """Write it to `place`, and return that."""
        self._store = place / "blobs/sha256"
        self._store.mkdir(parents=True)
        (place / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}', encoding="utf-8")
        config = self._document(self.config, self._config())
        descriptors = [self._layer(each) for each in self.layers]
        if self.layer_descriptor:
            descriptors[-1] = changed(descriptors[-1], self.layer_descriptor)
        usual = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": changed(self._descriptor(config, CONFIG), self.config_descriptor),
            "layers": descriptors,
        }
        manifest = self._document(self.manifest, usual)
        named = changed(self._descriptor(manifest, MANIFEST), self.manifest_descriptor)
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [named]}
        (place / "index.json").write_bytes(self._document(self.index, index))
        return place

    def _config(self) -> dict[str, Any]:
        labels = changed({"containers.bootc": "1", "version": "1"}, self.labels)
        return {
            "architecture": ARCHITECTURE,
            "os": "linux",
            "created": "2026-10-14T19:22:15Z",
            "config": {"Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in self.layers]},
        }

    def _document(self, changes: Changes | bytes, usual: dict[str, Any]) -> bytes:
        if isinstance(changes, bytes):
            return changes
        return json.dumps(changed(usual, changes)).encode()

    def _descriptor(self, content: bytes, media_type: str) -> dict[str, Any]:
        digest = self._add(content, sha256(content))
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def _layer(self, blob: Blob) -> dict[str, Any]:
        digest = self._add(blob.content, blob.digest or sha256(blob.content))
        size = len(blob.content) if blob.size < 0 else blob.size
        return {"mediaType": blob.media_type, "digest": digest, "size": size}

    def _add(self, content: bytes, digest: str) -> str:
        (self._store / digest.removeprefix("sha256:")).write_bytes(content)
        return digest
