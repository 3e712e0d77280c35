"""One layer becomes one commit: the parts that are alike whatever the layer came from.

The heavy half, hashing and storing files, runs in children (`store_archive`, and
`unpacked.store_batch`); the light half, putting their trees together and writing the commit, in
the parent. A layer's ref is written last, so that a ref always names a whole layer.
"""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bootcpy import __version__
from bootcpy.model.image import escape_ref
from bootcpy.model.tree import Directory, TreeRef, link_files, unite_shards
from bootcpy.ostree.bindings import GLib, OSTree
from bootcpy.ostree.objects import (
    RepoTrees,
    commit_metadata,
    write_commit,
    write_directory_metadata,
)
from bootcpy.ostree.repo import BLOB_REFS, explained
from bootcpy.system.layer_stream import STASH, LayerSummary

KEY_IMPORTER_VERSION = "ostree.importer.version"
# Ours, on layer commits. Other programs ignore them, and layers of theirs lack them.
KEY_IMPLICIT = "bootcpy.implicit-directories"
KEY_WHITEOUTS = "bootcpy.whiteouts"
IMPORTER_VERSION = f"bootcpy {__version__}"


def blob_ref(digest: str) -> str:
    """Return the ref under which the layer with the manifest's blob `digest` is kept."""
    return f"{BLOB_REFS}/{escape_ref(digest)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTraits:
    """What a layer's commit says about it beside its tree.

    Attributes:
        implicit: directories it has files in but does not describe; None if unknown.
        whiteouts: whether it may hide anything of the layers below.
    """

    implicit: Collection[str] | None = None
    whiteouts: bool = True


def store_archive(repo: OSTree.Repo, tar_fd: int) -> TreeRef:
    """Store the files of a filtered tar and return their tree; closes the descriptor.

    `repo` is in a transaction; this may be a child that was forked since that began.

    Raises:
        NoSpaceError, BootcpyError: see `explained`.
    """
    tree = OSTree.MutableTree.new()
    modifier = OSTree.RepoCommitModifier.new(OSTree.RepoCommitModifierFlags.NONE, None)
    try:
        with explained("cannot store the layer"):
            repo.write_archive_to_mtree_from_fd(tar_fd, tree, modifier, True, None)  # noqa: FBT003
            return write_tree(repo, tree)
    finally:
        os.close(tar_fd)


def write_tree(repo: OSTree.Repo, tree: OSTree.MutableTree) -> TreeRef:
    """Store a tree that was filled from files and return it."""
    if not tree.get_metadata_checksum():  # an archive without a single directory
        tree.set_metadata_checksum(write_directory_metadata(repo, uid=0, gid=0, mode=0o40755))
    _, root = repo.write_mtree(tree, None)
    assert isinstance(root, OSTree.RepoFile)  # noqa: S101 - the stub says File
    contents, meta = root.tree_get_contents_checksum(), root.tree_get_metadata_checksum()
    assert contents and meta  # noqa: S101, PT018 - it was just written
    return TreeRef(contents, meta)


def unite_archives(
    repo: OSTree.Repo, shards: Iterable[TreeRef], summary: LayerSummary
) -> Directory:
    """Put the shards of a filtered layer together, hard links included.

    Raises:
        ImageContentError: a hard link points to nothing.
    """
    first, *others = [Directory.from_ref(RepoTrees(repo), ref) for ref in shards]
    for other in others:
        unite_shards(first, other)
    link_files(first, summary.links.items())
    if STASH in summary.implicit:
        summary.implicit = {path for path in summary.implicit if not path.startswith(STASH)}
        first.dirs.pop(STASH, None)
    return first


def write_layer(repo: OSTree.Repo, root: Directory, traits: LayerTraits) -> str:
    """Write the commit of a layer and return its checksum; no ref names it yet.

    `repo` is in a transaction.
    """
    metadata = {
        KEY_IMPORTER_VERSION: GLib.Variant("s", IMPORTER_VERSION),
        KEY_WHITEOUTS: GLib.Variant("b", traits.whiteouts),
    }
    if traits.implicit is not None:
        metadata[KEY_IMPLICIT] = GLib.Variant("as", sorted(traits.implicit))
    return write_commit(repo, root.write(), metadata=metadata)


def read_traits(repo: OSTree.Repo, commit: str) -> LayerTraits:
    """Return what is known of an imported layer, whoever imported it."""
    metadata = commit_metadata(repo, commit)
    implicit = metadata.get(KEY_IMPLICIT)
    return LayerTraits(
        implicit=frozenset(map(str, implicit)) if isinstance(implicit, list) else None,
        whiteouts=bool(metadata.get(KEY_WHITEOUTS, True)),
    )
