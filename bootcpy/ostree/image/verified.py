"""Which commits of the repository are believed: those that a ref of ours names.

A ref below `bootcpy/layer` is written when the sha256 of a layer's tar was computed here and
is its diff_id, and one below `bootcpy/image` when all layers of an image were believed. The
refs that are shared with other programs, `ostree/container/...`, are written and never read
to decide anything: docs/trust.md says why.
"""

from dataclasses import dataclass

from bootcpy.model.image.oci import Layer, LayerPlan
from bootcpy.model.image.reference import ImageReference
from bootcpy.model.image.role import LayerRole, image_record, layer_record
from bootcpy.ostree.base.bindings import OSTree
from bootcpy.ostree.base.repo import resolve, set_ref
from bootcpy.ostree.image.refs import find_image_commit, set_image_ref
from bootcpy.ostree.layers.commits import blob_ref


def find_layer(repo: OSTree.Repo, role: LayerRole, diff_id: str) -> str | None:
    """Return the commit that the tar `diff_id` became in `role`, None if it never came here.

    Raises:
        ImageContentError: `diff_id` is no digest.
    """
    return resolve(repo, layer_record(role, diff_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedLayers:
    """What an image is merged of: its embedded commit if it has one, and derived layers."""

    base: str | None
    layers: tuple[str, ...]


def find_layers(
    repo: OSTree.Repo, plan: LayerPlan, tree_role: LayerRole
) -> tuple[CheckedLayers | None, int]:
    """Return the commits that an image is merged of, None if any never came here, and how many.

    Raises:
        ImageContentError: the image has something that is no digest.
    """
    wanted = [(LayerRole.COMMIT, plan.commit)] if plan.commit else []
    wanted += [(tree_role, layer) for layer in plan.derived]
    found = [find_layer(repo, role, layer.diff_id) for role, layer in wanted]
    here = tuple(commit for commit in found if commit is not None)
    if len(here) < len(found):
        return None, len(found) - len(here)
    if plan.commit is None:
        return CheckedLayers(base=None, layers=here), 0
    return CheckedLayers(base=here[0], layers=here[1:]), 0


def record_layer(repo: OSTree.Repo, role: LayerRole, layer: Layer, commit: str) -> None:
    """Note that `commit` is what `layer` became, whose blob and tar were both checked."""
    set_ref(repo, layer_record(role, layer.diff_id), commit)
    set_ref(repo, blob_ref(layer.blob.digest), commit)


def correct_shared(repo: OSTree.Repo, role: LayerRole, layer: Layer) -> None:
    """Have the ref that others know the layer's blob by name what is believed of it, or nothing.

    The layer is here by its diff_id. That its blob, which is not fetched, unpacks to the same
    is only what the image says: it is no reason to write the ref where there is none, but
    reason enough to take away what says something else, since without it others fetch.
    """
    ref = blob_ref(layer.blob.digest)
    shared, believed = resolve(repo, ref), find_layer(repo, role, layer.diff_id)
    if shared in {None, believed}:
        return
    known = {find_layer(repo, other, layer.diff_id) for other in LayerRole}
    set_ref(repo, ref, believed if shared in known else None)


def find_image(repo: OSTree.Repo, reference: ImageReference, manifest_digest: str) -> str | None:
    """Return the commit of the image if exactly this manifest was imported, and is believed."""
    commit = find_image_commit(repo, reference)
    return commit if commit and is_believed(repo, manifest_digest, commit) else None


def is_believed(repo: OSTree.Repo, manifest_digest: str, commit: str) -> bool:
    """Tell whether `commit` was merged here, from believed layers of exactly this manifest."""
    return resolve(repo, image_record(manifest_digest)) == commit


def record_image(
    repo: OSTree.Repo, reference: ImageReference, manifest_digest: str, commit: str
) -> None:
    """Note that `commit` is what the manifest's layers make, and have the image's ref name it.

    All of those layers were believed.
    """
    set_ref(repo, image_record(manifest_digest), commit)
    set_image_ref(repo, reference, commit)
