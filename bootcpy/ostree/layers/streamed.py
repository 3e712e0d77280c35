"""Derived layers that come through skopeo: filtered and stored as they flow.

A child stores one large layer, or several small ones, in a transaction that its parent holds.
"""

import errno
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bootcpy.errors import NoSpaceError
from bootcpy.model.image.missing import WantedLayer
from bootcpy.model.image.oci import require_diff_id
from bootcpy.model.image.role import LayerRole
from bootcpy.model.layers.groups import group_layers
from bootcpy.model.layers.tree import TreeRef
from bootcpy.ostree.base.bindings import OSTree
from bootcpy.ostree.base.repo import explained, open_repo, transaction
from bootcpy.ostree.layers.commits import LayerTraits, write_layer
from bootcpy.ostree.layers.fetch import BegunLayer, LayerJob, fetch_groups, naming_layer
from bootcpy.ostree.layers.store import RepoDirectories, RepoObjects, temporary_directory
from bootcpy.system.image.skopeo import OpenedImage
from bootcpy.system.layers.filter import build_layer, read_layer
from bootcpy.system.layers.spilled_sort import SpilledSort
from bootcpy.system.layers.tar import ByteCounter
from bootcpy.system.process.child import Child, forked

_HINT = "see the kernel's messages (`dmesg`) about the disk, then try again"


@dataclass(frozen=True, slots=True)
class _StoredLayer:
    """A layer whose files and directories are written, before it has a commit."""

    tree: TreeRef
    traits: LayerTraits
    diff_id: str


class _Group:
    """Layers that one child stores, one after the other, in one transaction."""

    def __init__(
        self,
        repo: OSTree.Repo,
        blobs: Sequence[BegunLayer],
        child: Child[list[_StoredLayer]],
        end: Callable[[], None],
    ) -> None:
        """Wait for `child`, which stores `blobs` in `repo`; `end` ends the transaction."""
        self.child = child
        self._repo = repo
        self._blobs = blobs
        self._end = end
        self._commits: dict[WantedLayer, str] | None = None

    @property
    def is_done(self) -> bool:
        """Whether the child has ended and its transaction too."""
        return self._commits is not None

    def commits(self) -> dict[WantedLayer, str]:
        """Wait for the child, write the layers' commits, and return them; they are durable then.

        Raises:
            BootcpyError: what went wrong in the child.
            ImageContentError: a layer is not the one the image names.
        """
        if self._commits is None:
            stored = self.child.result()
            commits: dict[WantedLayer, str] = {}
            for layer, begun in zip(stored, self._blobs, strict=True):
                require_diff_id(layer.diff_id, begun.wanted.layer)
                with _storing(begun.wanted):
                    commits[begun.wanted] = write_layer(self._repo, layer.tree, layer.traits)
            with _storing(self._blobs[-1].wanted):
                self._end()
            self._commits = commits
        return self._commits


class _GroupedJob(LayerJob):
    """One layer of a group."""

    def __init__(self, group: _Group, begun: BegunLayer, counter: ByteCounter) -> None:
        """Stand for one of the layers that `group` stores."""
        super().__init__(begun, counter)
        self._group = group

    @property
    def children(self) -> Sequence[Child[list[_StoredLayer]]]:
        return [] if self._group.is_done else [self._group.child]

    def require_success(self) -> None:
        self._group.commits()

    def commit(self) -> str:
        """Return the layer's commit; it is durable.

        Raises:
            BootcpyError: see `_Group.commits`.
        """
        return self._group.commits()[self.wanted]


@contextmanager
def _storing(wanted: WantedLayer) -> Generator[None]:
    """Have errors of the repository say which layer was to be stored.

    Raises:
        NoSpaceError, BootcpyError: see `explained`.
    """
    what = f"cannot store the layer {wanted.layer.blob.digest}"
    with explained(what, hint=_HINT):
        try:
            yield
        except OSError as e:  # of our own temporary files
            if e.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            raise NoSpaceError(f"{what}: {e.strerror}") from e


@contextmanager
def _storing_group(
    blobs: Sequence[BegunLayer], *, repo_path: Path, fsync: bool
) -> Generator[list[_GroupedJob]]:
    """Have a child store layers as they flow, for as long; yield the job of each."""
    repo = open_repo(repo_path)
    repo.set_disable_fsync(not fsync)
    counters = [ByteCounter() for _ in blobs]
    # The child ends first, then the transaction: it must not end while the child writes.
    with ExitStack() as stack:
        with _storing(blobs[0].wanted):
            stack.enter_context(transaction(repo))
        child = stack.enter_context(forked(lambda: _store_all(repo, blobs, counters)))
        for begun in blobs:
            begun.blob.close()
        group = _Group(repo, blobs, child, stack.close)
        yield [
            _GroupedJob(group, begun, counter)
            for begun, counter in zip(blobs, counters, strict=True)
        ]


def _store_all(
    repo: OSTree.Repo, blobs: Sequence[BegunLayer], counters: Sequence[ByteCounter]
) -> list[_StoredLayer]:
    """Store the layers of a group, one after the other; runs in a child."""
    objects = RepoObjects(repo)
    stored: list[_StoredLayer] = []
    for begun, counter in zip(blobs, counters, strict=True):
        with naming_layer(begun.wanted), _storing(begun.wanted):
            stored.append(_store(repo, objects, begun, counter, in_process=len(blobs) > 1))
    return stored


def _store(
    repo: OSTree.Repo,
    objects: RepoObjects,
    begun: BegunLayer,
    counter: ByteCounter,
    *,
    in_process: bool,
) -> _StoredLayer:
    place = temporary_directory(repo)
    with SpilledSort(place) as records:
        summary = read_layer(
            begun.blob.fd,
            objects,
            records,
            counter,
            allow_nonusr=begun.wanted.role is LayerRole.TREE,
            in_process=in_process,
        )
        tree = build_layer(
            records, RepoDirectories(repo, objects), place, hard_links=bool(summary.hard_links)
        )
    return _StoredLayer(
        TreeRef(tree.contents.hex(), tree.meta.hex()),
        LayerTraits(implicit=tree.implicit, whiteouts=summary.whiteouts),
        summary.diff_id,
    )


def store_layers(
    repo_path: Path,
    image: OpenedImage,
    wanted: Sequence[WantedLayer],
    *,
    workers: int,
    fsync: bool,
    progress: Callable[[Mapping[WantedLayer, int]], None],
) -> Generator[tuple[WantedLayer, str]]:
    """Fetch and store derived layers; yield each one with its commit.

    `progress` is told the bytes read so far of the layers under way.

    Raises:
        ImageUnavailableError: the source failed.
        ImageContentError: a layer is corrupt or is not the one the image names.
        NoSpaceError: the file system is full.
    """
    groups = group_layers(wanted, lambda layer: layer.blob.size_bytes)
    start = partial(_storing_group, repo_path=repo_path, fsync=fsync)
    # Closed here, whatever happens: transactions that failed are to end before that is reported.
    with closing(fetch_groups(image, groups, start, at_once=workers, progress=progress)) as jobs:
        for job in jobs:
            yield job.wanted, job.commit()
