"""The layers of an image become one commit: the one that is deployed.

The union is made on directory metadata alone; no file is touched. Only an image with an
SELinux policy is checked out, since its files have to be labelled.
"""

import os
import shutil
import tempfile
from pathlib import Path

from bootcpy.model.image.oci import ImageConfig, Manifest, canonical_json, commit_timestamp
from bootcpy.model.layers.tree import Directory, TreeRef
from bootcpy.model.layers.union import (
    Stored,
    UnionLayer,
    find_directory,
    unite_layers,
    without_file,
)
from bootcpy.ostree.base.bindings import GLib, OSTree
from bootcpy.ostree.base.objects import RepoTrees, commit_tree, write_commit
from bootcpy.ostree.base.repo import explained, transaction
from bootcpy.ostree.image.metadata import KEY_CONFIG, KEY_MANIFEST, KEY_MANIFEST_DIGEST
from bootcpy.ostree.image.sepolicy import has_policy, require_own_policy
from bootcpy.ostree.image.verified import CheckedLayers
from bootcpy.ostree.layers.commits import (
    IMPORTER_VERSION,
    KEY_IMPORTER_VERSION,
    read_traits,
    write_tree,
)
from bootcpy.ostree.layers.store import RepoDirtrees

# What buildah leaves behind when it mounts these over an image during a build.
_BUILD_LEFTOVERS = ("hostname", "resolv.conf")
_AT_FDCWD = -100


def merge_layers(
    repo: OSTree.Repo,
    checked: CheckedLayers,
    *,
    manifest_text: str,
    config_text: str,
    manifest_digest: str,
) -> str:
    """Write the commit of an image from its layers' commits and return its checksum.

    The derived ones are laid over the embedded commit, or over nothing, in order.

    Raises:
        ImageContentError: a layer has a whiteout without a name, or the SELinux policy is
            not all in the image.
        NoSpaceError, BootcpyError: see `explained`.
    """
    manifest, config = Manifest.parse(manifest_text), ImageConfig.parse(config_text)
    metadata = {
        KEY_MANIFEST_DIGEST: manifest_digest,
        KEY_MANIFEST: canonical_json(manifest_text),
        KEY_CONFIG: canonical_json(config_text),
        KEY_IMPORTER_VERSION: IMPORTER_VERSION,
    }
    with explained("cannot merge the layers"), transaction(repo):
        return write_commit(
            repo,
            merged_tree(repo, checked),
            parent=checked.base,
            metadata={key: GLib.Variant("s", value) for key, value in metadata.items()},
            timestamp_s=commit_timestamp(manifest, config),
        )


def merged_tree(repo: OSTree.Repo, checked: CheckedLayers) -> TreeRef:
    """Return the tree that an image's layers make together; see `merge_layers`.

    `repo` is in a transaction.

    Raises:
        ImageContentError: a layer has a whiteout without a name, or the SELinux policy is
            not all in the image.
        gi.repository.GLib.Error: libostree fails.
    """
    store = RepoDirtrees(repo)
    united = unite_layers(store, _union(repo, checked))
    root = _without_build_leftovers(repo, store, united)
    tree = TreeRef(root.contents.hex(), root.meta.hex())
    merged = Directory.from_ref(RepoTrees(repo), tree)
    require_own_policy(repo, merged)
    if checked.layers and has_policy(merged):  # an embedded commit alone is labelled already
        return _labelled(repo, tree)
    return tree


def _union(repo: OSTree.Repo, checked: CheckedLayers) -> list[UnionLayer]:
    """Return what is to be united, the lowest first; nothing is to be taken out of a base."""
    united: list[UnionLayer] = []
    if checked.base is not None:
        united.append(UnionLayer(root=_root(repo, checked.base), implicit=None, whiteouts=False))
    for commit in checked.layers:
        traits = read_traits(repo, commit)
        united.append(
            UnionLayer(
                root=_root(repo, commit), implicit=traits.implicit, whiteouts=traits.whiteouts
            )
        )
    return united


def _root(repo: OSTree.Repo, commit: str) -> Stored:
    tree = commit_tree(repo, commit)
    return Stored(bytes.fromhex(tree.contents), bytes.fromhex(tree.meta))


def _without_build_leftovers(repo: OSTree.Repo, store: RepoDirtrees, root: Stored) -> Stored:
    etc = find_directory(store, root, "usr/etc")
    if etc is None:
        return root
    for name in _BUILD_LEFTOVERS:
        content = store.read_dirtree(etc.contents).file(name.encode())
        if content is not None:
            _, _, info, _ = repo.load_file(content.hex(), None)
            if info.get_size() == 0 and not info.get_is_symlink():
                root = without_file(store, root, f"usr/etc/{name}")
    return root


def _labelled(repo: OSTree.Repo, tree: TreeRef) -> TreeRef:
    """Return `tree` with every file labelled by the policy it contains.

    Hard links into the repository keep unchanged files from being read again; those
    whose label changes are stored anew.
    """
    unlabelled = write_commit(repo, tree, metadata={})
    # The repository's own tmp: hard links work there, and libostree clears it in time.
    repo_path = Path(f"/proc/self/fd/{repo.get_dfd()}").readlink()
    checkout = Path(tempfile.mkdtemp(prefix="bootcpy-label-", dir=repo_path / "tmp"))
    try:
        with explained("cannot label the image's files"):
            cache = OSTree.RepoDevInoCache.new()
            options = OSTree.RepoCheckoutAtOptions()
            options.no_copy_fallback = True
            options.force_copy_zerosized = True
            options.set_devino(cache)
            root = checkout / "root"
            repo.checkout_at(options, _AT_FDCWD, str(root), unlabelled, None)
            fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                policy = OSTree.SePolicy.new_at(fd, None)
                modifier = OSTree.RepoCommitModifier.new(OSTree.RepoCommitModifierFlags.NONE, None)
                modifier.set_devino_cache(cache)
                if policy.get_name():
                    modifier.set_sepolicy(policy)
                mutable = OSTree.MutableTree.new()
                repo.write_dfd_to_mtree(fd, ".", mutable, modifier, None)
            finally:
                os.close(fd)
            return write_tree(repo, mutable)
    finally:
        shutil.rmtree(checkout)
