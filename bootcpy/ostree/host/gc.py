"""Garbage collection: images that no deployment follows, their layers, and loose objects."""

import logging
import re
from collections.abc import Collection
from itertools import count

from bootcpy.errors import ImageContentError
from bootcpy.model.host.garbage import Garbage, ImageRefFacts, Pruned, plan_gc
from bootcpy.model.image.oci import ImageConfig, Manifest
from bootcpy.model.image.reference import ImageReference
from bootcpy.model.image.role import IMAGE_RECORDS, LAYER_RECORDS, image_record, layer_records
from bootcpy.ostree.base.bindings import OSTree
from bootcpy.ostree.base.objects import commit_metadata
from bootcpy.ostree.base.repo import (
    BASEIMAGE_REFS,
    BLOB_REFS,
    explained,
    list_refs,
    set_ref,
    wait_for_lock,
)
from bootcpy.ostree.host.booted import open_sysroot
from bootcpy.ostree.host.deployments import boot_state
from bootcpy.ostree.image.metadata import KEY_CONFIG, KEY_MANIFEST, KEY_MANIFEST_DIGEST
from bootcpy.ostree.image.refs import image_of, list_image_refs
from bootcpy.ostree.image.verified import is_believed

log = logging.getLogger(__name__)

# What these refs name is in use, whoever wrote them: libostree one for every deployment.
_ROOT_REFS = ("ostree/0", "ostree/1", "rpmostree/base", BASEIMAGE_REFS)
# Those that bootc keeps up to date itself, for commits that something was added to on the host.
_BOOTC_ROOT_REFS = f"{BASEIMAGE_REFS}/bootc"
_KEY_DERIVED = "bootc.derived"
_CHECKSUM = re.compile("[0-9a-f]{64}")


def clean_up() -> Pruned:
    """Remove old deployments and what none of the others needs, and return how much that was.

    The caller holds the lock of the booted system.

    Raises:
        BootcpyError: libostree fails.
    """
    sysroot = open_sysroot()
    with explained("cannot clean up after old deployments"):
        sysroot.prepare_cleanup(None)
    return collect_unused(sysroot)


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
        log.warning("the ref %s does not have the name of an image; it is kept", ref)
    # Images first: an image whose layers are gone would be broken, the reverse is only litter.
    for ref in (*garbage.images, *garbage.records, *garbage.layers):
        set_ref(repo, ref, None)
    wait_for_lock(repo, alone=True)
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
        log.warning("the commit %s is missing, and a deployment is derived from it", base)
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
    images = []
    for ref, commit in list_image_refs(repo).items():
        layers, records = _needs_of(repo, commit)
        images.append(
            ImageRefFacts(ref=ref, reference=image_of(ref), layers=layers, records=records)
        )
    roots = {commit for prefix in _ROOT_REFS for commit in list_refs(repo, prefix).values()}
    needed = [_needs_of(repo, commit) for commit in roots]
    return plan_gc(
        images,
        deployed=deployed,
        rooted_layers=[digest for layers, _ in needed for digest in layers],
        layer_refs=list_refs(repo, BLOB_REFS),
        layer_prefix=BLOB_REFS,
        rooted_records=[ref for _, records in needed for ref in records],
        record_refs=[
            ref for prefix in (LAYER_RECORDS, IMAGE_RECORDS) for ref in list_refs(repo, prefix)
        ],
    )


def _needs_of(repo: OSTree.Repo, commit: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the digests of an image's layers, and the refs of ours; none for other commits."""
    metadata = commit_metadata(repo, commit)
    digest = metadata.get(KEY_MANIFEST_DIGEST)
    if not digest:
        return (), frozenset()
    try:
        manifest = Manifest.parse(str(metadata[KEY_MANIFEST]))
    except (KeyError, ImageContentError) as e:
        log.warning("the commit %s has no readable manifest: %s", commit, e)
        return (), frozenset()
    records = {image_record(str(digest))} if is_believed(repo, str(digest), commit) else set()
    try:
        records |= layer_records(manifest, ImageConfig.parse(str(metadata[KEY_CONFIG])))
    except (KeyError, ImageContentError) as e:  # an image that would not be imported today
        log.warning("the layers of the commit %s are not known: %s", commit, e)
    return tuple(layer.digest for layer in manifest.layers), frozenset(records)
