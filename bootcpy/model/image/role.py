"""What a layer is in its image, and so what its tar becomes in the repository. Pure."""

import re
from enum import StrEnum
from typing import Final

from bootcpy.errors import ImageContentError
from bootcpy.model.image.oci import ImageConfig, Layer, LayerPlan, Manifest, classify_layers
from bootcpy.model.image.reference import escape_ref

LAYER_RECORDS: Final = "bootcpy/layer"
IMAGE_RECORDS: Final = "bootcpy/image"

_DIFF_ID: Final = re.compile(r"sha256:[0-9a-f]{64}")


class LayerRole(StrEnum):
    """What a tar is read as. The same tar makes another commit in another role.

    The label `ostree.final-diffid` of an image, and what lies below a layer, decide.
    """

    COMMIT = "commit"  # an embedded ostree commit with its directories
    CHUNK = "chunk"  # files of an embedded commit, kept as a set of objects
    TREE = "tree"  # a derived layer
    USR_TREE = "usr-tree"  # one over a base that has no room outside /usr, /etc and /var

    @property
    def is_derived(self) -> bool:
        """Tell a layer that is a tree of files from the layers of an embedded commit."""
        return self in {LayerRole.TREE, LayerRole.USR_TREE}


def layer_record(role: LayerRole, diff_id: str) -> str:
    """Return the ref of ours that vouches for what became of a tar in a role.

    Raises:
        ImageContentError: `diff_id` is no digest.
    """
    if not _DIFF_ID.fullmatch(str(diff_id)):
        raise ImageContentError(
            f"the image's configuration has a diff_id that is no sha256 digest: {diff_id!r}",
            hint="the image is malformed; build it again",
        )
    return f"{LAYER_RECORDS}/{role}/{escape_ref(diff_id)}"


def image_record(manifest_digest: str) -> str:
    """Return the ref of ours that vouches for what became of an image."""
    return f"{IMAGE_RECORDS}/{escape_ref(manifest_digest, slashes=True)}"


def in_roles(plan: LayerPlan, tree_role: LayerRole) -> tuple[tuple[LayerRole, Layer], ...]:
    """Return the layers of an image, bottom first, by what they are; derived ones `tree_role`."""
    return (
        *((LayerRole.COMMIT, layer) for layer in (plan.commit,) if layer),
        *((LayerRole.CHUNK, layer) for layer in plan.chunks),
        *((tree_role, layer) for layer in plan.derived),
    )


def layer_records(manifest: Manifest, config: ImageConfig) -> frozenset[str]:
    """Return the refs of ours that an image may need for its layers.

    A derived layer over an embedded commit is kept in either role: which of them it
    has is written in that commit's files.

    Raises:
        ImageContentError: manifest and configuration do not fit together.
    """
    plan = classify_layers(manifest, config)
    trees = (LayerRole.TREE,) if plan.commit is None else (LayerRole.TREE, LayerRole.USR_TREE)
    return frozenset(
        layer_record(role, layer.diff_id)
        for tree_role in trees
        for role, layer in in_roles(plan, tree_role)
    )
