"""Which layers of an image are to be fetched, as against those that are here. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from bootcpy.model.base.size import format_size
from bootcpy.model.image.oci import Descriptor, Layer, LayerPlan
from bootcpy.model.image.role import LayerRole, in_roles


@dataclass(frozen=True, slots=True)
class WantedLayer:
    """A layer to fetch: what the image calls it, and what the source delivers for it.

    `role` is what it is in the image, and so what it is stored as. One of each role and
    diff_id is fetched, so that a wanted layer is the key to all that is known of it.
    """

    layer: Layer
    blob: Descriptor
    role: LayerRole


def wanted_layers(
    plan: LayerPlan, tree_role: LayerRole, delivered: Mapping[str, Descriptor]
) -> tuple[WantedLayer, ...]:
    """Return all layers of an image, bottom first; derived ones are stored as `tree_role`.

    `delivered` is what the source delivers for each blob of the manifest, by digest.
    """
    return tuple(
        WantedLayer(layer, delivered[layer.blob.digest], role)
        for role, layer in in_roles(plan, tree_role)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingLayers:
    """What is to be fetched of an image, or of some layers of it.

    Attributes:
        layers: what is to be fetched, bottom first.
        present: how many layers are here and were checked, and `present_bytes` of blobs.
        unchecked: the digests of those to be fetched that another program has stored.
    """

    layers: tuple[WantedLayer, ...]
    present: int
    present_bytes: int
    unchecked: frozenset[str]

    @classmethod
    def of(
        cls,
        wanted: Sequence[WantedLayer],
        *,
        checked: Collection[WantedLayer],
        stored: Collection[str],
    ) -> Self:
        """Return what is missing of `wanted`, where `checked` are here and were checked.

        `stored` has the digests of blobs of which another program may have stored the layers.
        A layer that the image has twice counts once.
        """
        once: dict[tuple[LayerRole, str], WantedLayer] = {}
        for each in wanted:
            once.setdefault((each.role, each.layer.diff_id), each)
        present = [each for each in once.values() if each in checked]
        missing = tuple(each for each in once.values() if each not in checked)
        return cls(
            layers=missing,
            present=len(present),
            present_bytes=sum(each.layer.blob.size_bytes for each in present),
            unchecked=frozenset(each.layer.blob.digest for each in missing) & frozenset(stored),
        )

    def __add__(self, other: "MissingLayers") -> "MissingLayers":
        """Return what is missing of layers and others that lie above them."""
        return MissingLayers(
            layers=self.layers + other.layers,
            present=self.present + other.present,
            present_bytes=self.present_bytes + other.present_bytes,
            unchecked=self.unchecked | other.unchecked,
        )

    @property
    def new(self) -> Sequence[Descriptor]:
        """The blobs to fetch of which, as far as can be told, nothing is here."""
        return [each.blob for each in self.layers if each.layer.blob.digest not in self.unchecked]

    @property
    def unchecked_bytes(self) -> int:
        """What the blobs take up whose files are here, if others stored what they should."""
        return self.size_bytes - sum(blob.size_bytes for blob in self.new)

    @property
    def size_bytes(self) -> int:
        """What the blobs to fetch take up."""
        return sum(each.blob.size_bytes for each in self.layers)

    def describe(self) -> str:
        """Say how much there is to fetch, in bootc's words."""
        return (
            f"layers already present: {self.present}; layers needed: {len(self.layers)} "
            f"({format_size(self.size_bytes)})"
        )

    def describe_unchecked(self) -> str | None:
        """Say why layers are fetched that are here; None if there are no such."""
        if not self.unchecked:
            return None
        return (
            "layers that another program or an older version stored unchecked, "
            f"fetched once more: {len(self.unchecked)}"
        )
