"""OCI manifests and configurations: the parts that matter for a bootable image.

The JSON is kept whole beside what was parsed from it, because the merge commit
records both documents.
"""

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from bootcpy.errors import ImageContentError
from bootcpy.model.base.printable import printable
from bootcpy.model.base.strict_json import StrictJsonError, parse_strict_json
from bootcpy.model.image.oci_fields import (
    MOST_CONFIG_CHARACTERS,
    MOST_HISTORY,
    MOST_LAYERS,
    MOST_MANIFEST_CHARACTERS,
    FieldError,
    Fields,
)

LABEL_BOOTC = "containers.bootc"
LABEL_OSTREE_BOOTABLE = "ostree.bootable"
LABEL_KERNEL = "ostree.linux"  # the kernel's version; encapsulated ostree commits have it
LABEL_FINAL_DIFFID = "ostree.final-diffid"
LABEL_VERSION = "org.opencontainers.image.version"
LABEL_VERSION_LEGACY = "version"
LABEL_CREATED = "org.opencontainers.image.created"


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A blob as a manifest names it."""

    media_type: str
    digest: str
    size_bytes: int
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """An image manifest in OCI form."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a manifest.

        Raises:
            ImageContentError: it is not an OCI image manifest with at least one layer.
        """
        with _naming("manifest"):
            raw = Fields.of(parse_strict_json(text, most_characters=MOST_MANIFEST_CHARACTERS))
            manifest = cls(
                config=_descriptor(raw.inside("config")),
                layers=tuple(_descriptor(each) for each in raw.each("layers", most=MOST_LAYERS)),
                annotations=raw.texts("annotations"),
            )
        if not manifest.layers:
            raise ImageContentError("the image has no layers")
        return manifest


def _descriptor(raw: Fields) -> Descriptor:
    return Descriptor(
        media_type=raw.word("mediaType") or "",
        digest=raw.digest("digest"),
        size_bytes=raw.size_bytes("size"),
        annotations=raw.texts("annotations"),
    )


@contextmanager
def _naming(document: str) -> Generator[None]:
    """Say of which of the image's documents it is that a reader found something wrong."""
    try:
        yield
    except (StrictJsonError, FieldError) as e:
        raise ImageContentError(f"the image's {document} is malformed: {e}") from e


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """An image configuration."""

    architecture: str
    labels: Mapping[str, str]
    diff_ids: tuple[str, ...]
    created: str | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an image configuration.

        Raises:
            ImageContentError: it is not one.
        """
        with _naming("configuration"):
            raw = Fields.of(parse_strict_json(text, most_characters=MOST_CONFIG_CHARACTERS))
            for _ in raw.each("history", most=MOST_HISTORY):
                pass  # not used here, but written out again with the image
            return cls(
                architecture=raw.word("architecture") or "",
                labels=raw.inside_or_empty("config").texts("Labels"),
                diff_ids=raw.inside_or_empty("rootfs").digests("diff_ids", most=MOST_LAYERS),
                created=raw.word("created"),
            )

    @property
    def version(self) -> str | None:
        """The image's version label (bootc: the OCI label, else the legacy one)."""
        return self.labels.get(LABEL_VERSION) or self.labels.get(LABEL_VERSION_LEGACY)

    @property
    def timestamp(self) -> datetime | None:
        """When the image was made: its label if there is one, else its `created`."""
        return parse_timestamp(self.labels.get(LABEL_CREATED) or self.created)


def parse_timestamp(text: str | None) -> datetime | None:
    """Read an RFC 3339 time; anything unreadable is None, as in bootc."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def commit_timestamp(manifest: Manifest, config: ImageConfig) -> int | None:
    """Return the merge commit's time in seconds since the epoch, None for "now"."""
    moment = parse_timestamp(manifest.annotations.get(LABEL_CREATED) or config.created)
    if moment is None:
        return None
    return max(int(moment.timestamp()), 0)  # Go's zero time is in the year 1; commits begin 1970


def canonical_json(text: str) -> str:
    """Rewrite a JSON document with sorted keys and no white space."""
    return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer of an image: the blob to read and what its tar must hash to."""

    blob: Descriptor
    diff_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlan:
    """The layers of an image by what they hold.

    `commit` and `chunks` make up the embedded ostree commit, if the image has one
    (label `ostree.final-diffid`); `derived` are derived layers, bottom first.
    """

    commit: Layer | None
    chunks: tuple[Layer, ...]
    derived: tuple[Layer, ...]


def classify_layers(manifest: Manifest, config: ImageConfig) -> LayerPlan:
    """Tell an ostree base's layers from derived ones (ostree-ext `layer_progress` rules).

    Raises:
        ImageContentError: manifest and configuration disagree about the layers.
    """
    if len(manifest.layers) != len(config.diff_ids):
        raise ImageContentError(
            f"the image's manifest has {len(manifest.layers)} layers, "
            f"its configuration {len(config.diff_ids)}"
        )
    layers = tuple(
        Layer(blob=blob, diff_id=diff_id)
        for blob, diff_id in zip(manifest.layers, config.diff_ids, strict=True)
    )
    _require_one_content_each(layers)
    final = config.labels.get(LABEL_FINAL_DIFFID)
    if final is None:
        return LayerPlan(commit=None, chunks=(), derived=layers)
    if final not in config.diff_ids:
        named = printable(final, limit=len("sha256:") + 64)
        raise ImageContentError(f"the image's label {LABEL_FINAL_DIFFID} names no layer: {named}")
    index = config.diff_ids.index(final)
    if any(layer.blob.digest == layers[index].blob.digest for layer in layers[index + 1 :]):
        raise ImageContentError(f"the image has multiple layers that match {LABEL_FINAL_DIFFID}")
    return LayerPlan(commit=layers[0], chunks=layers[1 : index + 1], derived=layers[index + 1 :])


def _require_one_content_each(layers: Sequence[Layer]) -> None:
    """Refuse an image that says of one blob that it is two tars: it lies about one of them."""
    diff_ids: dict[str, str] = {}
    for layer in layers:
        digest = layer.blob.digest
        other = diff_ids.setdefault(digest, layer.diff_id)
        if other != layer.diff_id:
            raise ImageContentError(
                f"the image gives layer {digest} the diff_id {other}, and also {layer.diff_id}",
                hint="the image was tampered with; do not use it",
            )


def require_diff_id(found: str, layer: Layer) -> None:
    """Refuse a layer whose uncompressed tar is not the one the configuration names.

    Raises:
        ImageContentError: the digests differ.
    """
    if found != layer.diff_id:
        raise ImageContentError(
            f"layer {layer.blob.digest} has diff_id {found}, "
            f"but the image's configuration says {layer.diff_id}",
            hint="the image is corrupt or was tampered with; pull or build it again",
        )
