"""Garbage collection: images that no deployment follows, their layers, and loose objects."""

import logging
import re
from collections.abc import Collection, Iterator
from itertools import count

from bootcpy.errors import ImageContentError, ReferenceFormatError
from bootcpy.model.garbage import Garbage, Pruned, StoredImage, plan_gc
from bootcpy.model.image import ImageReference, unescape_ref
from bootcpy.model.oci import Manifest
from bootcpy.ostree.bindings import OSTree
from bootcpy.ostree.deployments import boot_state
from bootcpy.ostree.image_metadata import KEY_MANIFEST, KEY_MANIFEST_DIGEST
from bootcpy.ostree.objects import commit_metadata
from bootcpy.ostree.repo import (
    BASEIMAGE_REFS,
    BLOB_REFS,
    IMAGE_REFS,
    explained,
    list_refs,
    set_ref,
)

log = logging.getLogger(__name__)

# What these refs name is in use, whoever wrote them: libostree one for every deployment.
_ROOT_REFS = ("ostree/0", "ostree/1", "rpmostree/base", BASEIMAGE_REFS)
# Those that bootc keeps up to date itself, for commits that something was added to on the host.
_BOOTC_ROOT_REFS = f"{BASEIMAGE_REFS}/bootc"
_KEY_DERIVED = "bootc.derived"
_CHECKSUM = re.compile("[0-9a-f]{64}")


def collect_unused(sysroot: OSTree.Sysroot) -> Pruned:
    """Remove what no deployment of `sysroot` needs and return how much that was.

    The caller holds the lock of `sysroot`, loaded after it was taken, so that
    nothing is imported or deployed meanwhile.

    Raises:
        DeploymentError: an origin file is corrupt.
        BootcpyError: the repository cannot be read or written.
    """
    with explained("the deployments cannot be read"):
        deployments = boot_state(sysroot).deployments
    repo = sysroot.repo()
    _protect_bases(repo, [deployment.checksum for deployment in deployments])
    origins = [deployment.origin.image for deployment in deployments]
    return collect(repo, deployed={origin.image for origin in origins if origin})


def collect(repo: OSTree.Repo, *, deployed: Collection[ImageReference]) -> Pruned:
    """Remove the images that are not in `deployed`, the layers and objects nobody needs.

    Raises:
        BootcpyError: the repository cannot be read or written.
    """
    with explained("the repository's images cannot be read"):
        garbage = _find_garbage(repo, deployed)
    for ref in garbage.foreign:
        log.warning("the ref %s is not named after an image; it is left alone", ref)
    # Images first: an image whose layers are gone would be broken, the reverse is only litter.
    for ref in (*garbage.images, *garbage.layers):
        set_ref(repo, ref, None)
    with explained("unused objects cannot be removed"):
        _, _, _, object_bytes = repo.prune(OSTree.RepoPruneFlags.REFS_ONLY, 0, None)
    return Pruned(images=len(garbage.images), layers=len(garbage.layers), object_bytes=object_bytes)


def _protect_bases(repo: OSTree.Repo, deployed: Collection[str]) -> None:
    """Have a ref for the image below each deployed commit that was derived from one, and no more.

    As bootc does with `ostree/container/baseimage/bootc/N`; the refs of other programs stay.
    """
    with explained("the images that deployments are derived from cannot be read"):
        named = {commit_metadata(repo, commit).get(_KEY_DERIVED) for commit in deployed} - {None}
        bases = {str(base) for base in named if _has_commit(repo, str(base))}
        refs = list_refs(repo, _BOOTC_ROOT_REFS)
    for base in named - bases:
        log.warning("the commit %s, which a deployment is derived from, is gone", base)
    unnamed = sorted(bases - set(refs.values()))
    free = (ref for number in count() if (ref := f"{_BOOTC_ROOT_REFS}/{number}") not in refs)
    # First what is new: nothing is to be without protection in between.
    for base, ref in zip(unnamed, free):  # noqa: B905 - there is always a free one
        set_ref(repo, ref, base)
    for ref, commit in refs.items():
        if commit not in bases:
            set_ref(repo, ref, None)


def _has_commit(repo: OSTree.Repo, checksum: str) -> bool:
    if not _CHECKSUM.fullmatch(checksum):
        return False
    _, found = repo.has_object(OSTree.ObjectType.COMMIT, checksum, None)
    return found


def _find_garbage(repo: OSTree.Repo, deployed: Collection[ImageReference]) -> Garbage:
    images = [
        StoredImage(ref=ref, reference=_image_of(ref), layers=tuple(_layers_of(repo, commit)))
        for ref, commit in list_refs(repo, IMAGE_REFS).items()
    ]
    roots = {commit for prefix in _ROOT_REFS for commit in list_refs(repo, prefix).values()}
    return plan_gc(
        images,
        deployed=deployed,
        rooted_layers=[digest for commit in roots for digest in _layers_of(repo, commit)],
        layer_refs=list_refs(repo, BLOB_REFS),
        layer_prefix=BLOB_REFS,
    )


def _image_of(ref: str) -> ImageReference | None:
    try:
        return ImageReference.parse(unescape_ref(ref.removeprefix(f"{IMAGE_REFS}/")))
    except ReferenceFormatError:
        return None


def _layers_of(repo: OSTree.Repo, commit: str) -> Iterator[str]:
    """Yield the digests of the layers of an image's commit; none for other commits."""
    metadata = commit_metadata(repo, commit)
    if KEY_MANIFEST_DIGEST not in metadata:
        return
    try:
        manifest = Manifest.parse(str(metadata[KEY_MANIFEST]))
    except (KeyError, ImageContentError) as e:
        log.warning("the commit %s has no readable manifest: %s", commit, e)
        return
    for layer in manifest.layers:
        yield layer.digest
