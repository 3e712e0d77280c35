"""Which images and layers of the repository nothing needs any more. Pure.

The rules are ostree-ext's (`store::image_filtered` garbage collection and `gc_image_layers`), so
that bootc and rpm-ostree, which collect in the same repository, agree about what is kept.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bootcpy.model.image.reference import ImageReference, escape_ref


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRefFacts:
    """An image ref of the repository.

    Attributes:
        ref: its full name.
        reference: the image it is named after; None if the name is none of an image.
        layers: the digests in the manifest of the commit it names; empty without one.
        records: the refs of ours that vouch for that commit and its layers.
    """

    ref: str
    reference: ImageReference | None
    layers: tuple[str, ...]
    records: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """What is to be deleted, by full ref name, and what was not understood and stays.

    `records` are refs of ours that vouch for images and layers which go.
    """

    images: tuple[str, ...]
    layers: tuple[str, ...]
    foreign: tuple[str, ...]
    records: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a collection removed: how many image and layer refs, and bytes of objects."""

    images: int
    layers: int
    object_bytes: int

    def __bool__(self) -> bool:
        """Tell whether anything was removed."""
        return bool(self.images or self.layers or self.object_bytes)


def plan_gc(
    images: Collection[ImageRefFacts],
    *,
    deployed: Collection[ImageReference],
    rooted_layers: Iterable[str],
    layer_refs: Iterable[str],
    layer_prefix: str,
    rooted_records: Iterable[str] = (),
    record_refs: Iterable[str] = (),
) -> Garbage:
    """Return what nothing needs: no deployment follows the image, no commit names the layer.

    `deployed` are the images in the origins of all deployments, `rooted_layers` the
    digests in the manifests of the commits that deployments and other tools hold, and
    `layer_refs` all refs below `layer_prefix`. `rooted_records` are the refs of ours that
    those commits need, and `record_refs` all that there are. An image ref whose name is none of an
    image belongs to somebody else: it stays, with the layers its commit names.
    """
    unneeded = [image for image in images if image.reference and image.reference not in deployed]
    live = {f"{layer_prefix}/{escape_ref(digest)}" for digest in rooted_layers}
    vouching = set(rooted_records)
    for image in images:
        if image not in unneeded:
            live |= {f"{layer_prefix}/{escape_ref(digest)}" for digest in image.layers}
            vouching |= image.records
    return Garbage(
        images=tuple(sorted(image.ref for image in unneeded)),
        layers=tuple(sorted(set(layer_refs) - live)),
        foreign=tuple(sorted(image.ref for image in images if image.reference is None)),
        records=tuple(sorted(set(record_refs) - vouching)),
    )
