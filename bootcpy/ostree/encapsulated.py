"""Images that carry an ostree commit: its layers become that very commit again.

The first layer holds the commit and its directories, the chunks after it most of the
files; what follows are ordinary layers over it (`bootcpy.model.oci.classify_layers`).
"""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from bootcpy import paths
from bootcpy.errors import ImageContentError
from bootcpy.model.bootable import protects_toplevel
from bootcpy.model.image import OstreeRemote, Signature
from bootcpy.model.layer_role import LayerRole
from bootcpy.model.oci import require_diff_id
from bootcpy.ostree.bindings import GLib, OSTree
from bootcpy.ostree.commit_tree import CommitTree
from bootcpy.ostree.fetch import BegunLayer, LayerJob, WantedLayer, fetch_layers
from bootcpy.ostree.object_layers import (
    StoredLayer,
    require_signature,
    store_chunk,
    store_commit_layer,
    write_signatures,
)
from bootcpy.ostree.reachable import require_complete
from bootcpy.ostree.repo import explained, open_repo
from bootcpy.system.child import Child
from bootcpy.system.skopeo import OpenedImage

_AT_ONCE = min(os.cpu_count() or 1, 4)  # each layer keeps one processor busy


class _ObjectsJob(LayerJob):
    """A layer whose objects are stored."""

    def __init__(
        self,
        begun: BegunLayer,
        work: Callable[["_ObjectsJob"], StoredLayer],
        stack: ExitStack,
    ) -> None:
        super().__init__(begun)
        self._child = stack.enter_context(Child(lambda: work(self)))
        os.close(begun.blob.fd)

    @property
    def children(self) -> Sequence[Child[StoredLayer]]:
        return [self._child]

    def require_success(self) -> None:
        self._result()

    def _result(self) -> StoredLayer:
        with self.naming_layer():
            return self._child.result()

    def stored(self) -> StoredLayer:
        """Return what became of the layer, which may not be the one the image names.

        Raises:
            ImageContentError: the layer is corrupt.
        """
        stored = self._result()
        self._child.close()
        return stored


def import_base(
    repo_path: Path,
    image: OpenedImage,
    wanted: Sequence[WantedLayer],
    *,
    signature: Signature,
    fsync: bool,
    progress: Callable[[dict[int, int]], None],
) -> Generator[tuple[int, str]]:
    """Fetch and store the layers of an embedded commit; yield each one's index and commit.

    `wanted` are those that are missing. The commit layer is yielded after all others, and
    after every object was found that the commit names, so that its ref, once written, names
    a whole commit. A commit that stays without one is removed. `progress` is told the bytes
    read so far of the layers under way, by index.

    Raises:
        ImageUnavailableError: the source failed.
        ImageContentError: a layer is corrupt, not the one the image names, or the commit
            is not signed as `signature` demands, or the layers do not hold all of it.
        NoSpaceError: the file system is full.
    """
    remote = signature.name if isinstance(signature, OstreeRemote) else None

    def work(job: _ObjectsJob) -> StoredLayer:
        fd, counter = job.blob.fd, job.counter
        if job.wanted.role is LayerRole.COMMIT:
            return store_commit_layer(repo_path, fd, counter, remote=remote, fsync=fsync)
        return store_chunk(repo_path, fd, counter, fsync=fsync)

    def start(begun: BegunLayer, stack: ExitStack) -> _ObjectsJob:
        return _ObjectsJob(begun, work, stack)

    repo = open_repo(repo_path)
    commit: tuple[int, StoredLayer] | None = None
    try:
        fetched = fetch_layers(image, wanted, start, at_once=_AT_ONCE, progress=progress)
        with closing(fetched) as jobs:
            for job in jobs:
                stored = job.stored()
                if job.wanted.role is LayerRole.COMMIT:
                    commit = job.index, stored
                require_diff_id(stored.diff_id, job.wanted.layer)
                if job.wanted.role is not LayerRole.COMMIT:
                    yield job.index, stored.commit
        if commit is not None:
            write_signatures(repo, commit[1], verified=remote is not None)
            _require_whole(repo, commit[1])
    except BaseException:  # also when nobody asks for the next layer any more
        _remove(repo, commit)
        raise
    if commit is not None:
        yield commit[0], commit[1].commit


def _require_whole(repo: OSTree.Repo, stored: StoredLayer) -> None:
    """Take the mark from a commit of which everything is there.

    Raises:
        ImageContentError: it lacks something.
    """
    with explained(f"the commit {stored.commit} cannot be completed"):
        try:
            require_complete(repo, stored.commit)
        except ImageContentError:
            # Versions before 0.2 did not look; it may have a ref, which needs its commit.
            repo.mark_commit_partial(stored.commit, True)  # noqa: FBT003
            raise
        repo.mark_commit_partial(stored.commit, False)  # noqa: FBT003


def _remove(repo: OSTree.Repo, begun: tuple[int, StoredLayer] | None) -> None:
    """Remove a commit that is new, and its mark; its objects go with the next clean-up."""
    if begun is None or begun[1].known:
        return
    commit = begun[1].commit
    with explained(f"the commit {commit} cannot be removed"):
        repo.delete_object(OSTree.ObjectType.COMMIT, commit, None)
        repo.mark_commit_partial(commit, False)  # noqa: FBT003


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
        _octets(variant),
        None if signatures is None else _octets(signatures),
    )


def _octets(variant: GLib.Variant) -> bytes:
    return bytes(variant.get_data_as_bytes().get_data() or b"")


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
    """Return what ordinary layers over the embedded commit `base`, or over none, are stored as.

    Raises:
        ImageContentError: the base's prepare-root.conf is malformed or too large.
    """
    if base is None:
        return LayerRole.TREE
    tree = CommitTree(repo_path, base)
    # As ostree-ext: the first file counts, although libostree reads both at boot.
    texts = (tree.read_text(Path(top) / paths.PREPARE_ROOT_CONF) for top in ("etc", "usr/lib"))
    found = next((text for text in texts if text is not None), None)
    if found is not None and protects_toplevel(found):
        return LayerRole.TREE
    return LayerRole.USR_TREE
