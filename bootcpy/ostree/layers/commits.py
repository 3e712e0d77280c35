"""One layer becomes one commit: the parts that are alike whatever the layer came from.

The heavy half, hashing and storing files, runs in children (`bootcpy.ostree.layers.streamed`, and
`unpacked.store_batch`); the light half, writing the commit, in the parent. A layer's ref is
written last, so that a ref always names a whole layer.
"""

from collections.abc import Collection
from dataclasses import dataclass

from bootcpy import __version__
from bootcpy.model.image.reference import escape_ref
from bootcpy.model.layers.tree import TreeRef
from bootcpy.ostree.base.bindings import GLib, OSTree
from bootcpy.ostree.base.objects import commit_metadata, write_commit, write_directory_metadata
from bootcpy.ostree.base.repo import BLOB_REFS

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


def write_tree(repo: OSTree.Repo, tree: OSTree.MutableTree) -> TreeRef:
    """Store a tree that was filled from files and return it."""
    if not tree.get_metadata_checksum():  # an archive without a single directory
        tree.set_metadata_checksum(write_directory_metadata(repo, uid=0, gid=0, mode=0o40755))
    _, root = repo.write_mtree(tree, None)
    assert isinstance(root, OSTree.RepoFile)  # noqa: S101 - the stub says File
    contents, meta = root.tree_get_contents_checksum(), root.tree_get_metadata_checksum()
    assert contents and meta  # noqa: S101, PT018 - it was just written
    return TreeRef(contents, meta)


def write_layer(repo: OSTree.Repo, tree: TreeRef, traits: LayerTraits) -> str:
    """Write the commit of a layer and return its checksum; no ref names it yet.

    `repo` is in a transaction.
    """
    metadata = {
        KEY_IMPORTER_VERSION: GLib.Variant("s", IMPORTER_VERSION),
        KEY_WHITEOUTS: GLib.Variant("b", traits.whiteouts),
    }
    if traits.implicit is not None:
        metadata[KEY_IMPLICIT] = GLib.Variant("as", sorted(traits.implicit))
    return write_commit(repo, tree, metadata=metadata)


def read_traits(repo: OSTree.Repo, commit: str) -> LayerTraits:
    """Return what is known of an imported layer, whoever imported it."""
    metadata = commit_metadata(repo, commit)
    implicit = metadata.get(KEY_IMPLICIT)
    return LayerTraits(
        implicit=frozenset(map(str, implicit)) if isinstance(implicit, list) else None,
        whiteouts=bool(metadata.get(KEY_WHITEOUTS, True)),
    )
