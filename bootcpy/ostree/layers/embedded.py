"""Images that carry an ostree commit: its layers become that very commit again.

The first layer holds the commit and its directories, the chunks after it most of the
files; what follows are derived layers over it (`bootcpy.model.image.oci.classify_layers`).
"""

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

from bootcpy import paths
from bootcpy.errors import ImageContentError
from bootcpy.model.boot.bootable import prepare_root_conf, protects_toplevel
from bootcpy.model.image.missing import WantedLayer
from bootcpy.model.image.oci import require_diff_id
from bootcpy.model.image.reference import OstreeRemote, Signature
from bootcpy.model.image.role import LayerRole
from bootcpy.ostree.base.bindings import GLib, OSTree
from bootcpy.ostree.base.commit_tree import CommitTree
from bootcpy.ostree.base.objects import octets
from bootcpy.ostree.base.repo import explained, open_repo, transaction
from bootcpy.ostree.layers.embedded_objects import (
    StoredCommitLayer,
    StoredLayer,
    require_signature,
    store_chunk,
    store_commit_layer,
    write_embedded,
)
from bootcpy.ostree.layers.fetch import BegunLayer, LayerJob, fetch_layers
from bootcpy.system.image.skopeo import OpenedImage
from bootcpy.system.layers.tar import ByteCounter
from bootcpy.system.process.child import Child, forked

_AT_ONCE = min(os.cpu_count() or 1, 4)  # each layer keeps one processor busy


class _ObjectsJob(LayerJob):
    """A layer whose objects a child stores, in a transaction that its parent holds."""

    def __init__(
        self,
        begun: BegunLayer,
        counter: ByteCounter,
        child: Child[StoredLayer],
        end: Callable[[], None],
    ) -> None:
        """Wait for `child`, which stores the layer; `end` ends the transaction."""
        super().__init__(begun, counter)
        self._child = child
        self._end = end

    @property
    def children(self) -> Sequence[Child[StoredLayer]]:
        return [self._child]

    def require_success(self) -> None:
        self._result()

    def _result(self) -> StoredLayer:
        with self.naming_layer():
            return self._child.result()

    def stored(self) -> StoredLayer:
        """Return what became of the layer; it is durable.

        Raises:
            ImageContentError: the layer is corrupt or not the one the image names.
            NoSpaceError: the file system is full.
        """
        stored = self._result()
        require_diff_id(stored.diff_id, self.wanted.layer)
        with explained(_cannot_store(self.wanted)):
            self._end()
        return stored


@contextmanager
def _storing_objects(
    begun: BegunLayer, *, repo_path: Path, fsync: bool, remote: str | None
) -> Generator[_ObjectsJob]:
    """Have a child store a layer as it flows, for as long; `remote` is whose signature counts."""
    repo = open_repo(repo_path)
    repo.set_disable_fsync(not fsync)
    counter = ByteCounter()

    def store() -> StoredLayer:
        if begun.wanted.role is LayerRole.COMMIT:
            return store_commit_layer(repo, begun.blob.fd, counter, remote=remote)
        return store_chunk(repo, begun.blob.fd, counter)

    # The child ends first, then the transaction: it must not end while the child writes.
    with ExitStack() as stack:
        with explained(_cannot_store(begun.wanted)):
            stack.enter_context(transaction(repo))
        child = stack.enter_context(forked(store))
        begun.blob.close()
        yield _ObjectsJob(begun, counter, child, stack.close)


def _cannot_store(wanted: WantedLayer) -> str:
    return f"cannot store the layer {wanted.layer.blob.digest}"


def import_base(
    repo_path: Path,
    image: OpenedImage,
    wanted: Sequence[WantedLayer],
    *,
    signature: Signature,
    fsync: bool,
    progress: Callable[[Mapping[WantedLayer, int]], None],
) -> Generator[tuple[WantedLayer, str]]:
    """Fetch and store the layers of an embedded commit; yield each one with its commit.

    `wanted` are those that are missing. The commit layer is yielded after all others, and
    after every object was found that the commit names, so that its ref, once written, names
    a whole commit: it is not written before. `progress` is told the bytes read so far of
    the layers under way.

    Raises:
        ImageUnavailableError: the source failed.
        ImageContentError: a layer is corrupt, not the one the image names, or the commit
            is not signed as `signature` demands, or the layers do not hold all of it.
        NoSpaceError: the file system is full.
    """
    remote = signature.name if isinstance(signature, OstreeRemote) else None
    start = partial(_storing_objects, repo_path=repo_path, fsync=fsync, remote=remote)
    commit: tuple[WantedLayer, StoredCommitLayer] | None = None
    fetched = fetch_layers(image, wanted, start, at_once=_AT_ONCE, progress=progress)
    with closing(fetched) as jobs:
        for job in jobs:
            stored = job.stored()
            if isinstance(stored, StoredCommitLayer):
                commit = job.wanted, stored
            else:
                yield job.wanted, stored.commit
    if commit is not None:
        layer, found = commit
        repo = open_repo(repo_path)
        repo.set_disable_fsync(not fsync)
        write_embedded(repo, found, verified=remote is not None)
        yield layer, found.commit


def require_signed(repo: OSTree.Repo, commit: str, signature: Signature) -> None:
    """Refuse a stored commit that is not signed as `signature` demands.

    Raises:
        ImageContentError: see `require_signature`.
    """
    if not isinstance(signature, OstreeRemote):
        return
    with explained(f"the commit {commit} cannot be read"):
        _, variant = repo.load_variant(OSTree.ObjectType.COMMIT, commit)
        _, detached = repo.read_commit_detached_metadata(commit, None)
    # None when there is no detached metadata, which the stubs hide.
    signatures: GLib.Variant | None = detached
    require_signature(
        repo,
        signature.name,
        commit,
        octets(variant),
        None if signatures is None else octets(signatures),
    )


def require_embedded(signature: Signature, *, name: str) -> None:
    """Refuse to take an image without an embedded commit for one that a remote signed.

    Raises:
        ImageContentError: `signature` asks for a remote's.
    """
    if isinstance(signature, OstreeRemote):
        raise ImageContentError(
            f"{name} has no embedded ostree commit that the remote {signature.name} could "
            "have signed",
            hint="verify it by policy.json instead: ostree-image-signed:",
        )


def role_of_layers_over(repo_path: Path, base: str | None) -> LayerRole:
    """Return what derived layers over the embedded commit `base`, or over none, are stored as.

    Raises:
        ImageContentError: the base's prepare-root.conf is malformed or too large.
    """
    if base is None:
        return LayerRole.TREE
    # As ostree-ext: the first file counts, although libostree reads both at boot.
    bases = (Path("etc"), paths.USR_LIB)
    found = prepare_root_conf(CommitTree(repo_path, base), bases=bases)
    if found is not None and protects_toplevel(found):
        return LayerRole.TREE
    return LayerRole.USR_TREE
