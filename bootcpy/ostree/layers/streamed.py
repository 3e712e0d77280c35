"""Ordinary layers that come through skopeo: filtered and stored as they flow.

A child stores one large layer, or several small ones, in a transaction that its parent holds.
"""

import errno
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bootcpy.errors import NoSpaceError
from bootcpy.model.image.oci import require_diff_id
from bootcpy.model.layers.groups import group_layers
from bootcpy.model.layers.tree import TreeRef
from bootcpy.ostree.base.bindings import OSTree
from bootcpy.ostree.base.repo import explained, open_repo, transaction
from bootcpy.ostree.layers.commits import LayerTraits, write_layer
from bootcpy.ostree.layers.fetch import (
    BegunLayer,
    LayerJob,
    WantedLayer,
    fetch_groups,
    naming_layer,
)
from bootcpy.ostree.layers.store import RepoDirectories, RepoObjects, temporary_directory
from bootcpy.system.image.skopeo import OpenedImage
from bootcpy.system.layers.filter import build_layer, read_layer
from bootcpy.system.layers.spilled_sort import SpilledSort
from bootcpy.system.layers.tar import ByteCounter
from bootcpy.system.process.child import Child

_HINT = "see the kernel's messages (`dmesg`) for what is wrong with the disk; then try again"


@dataclass(frozen=True, slots=True)
class _StoredLayer:
    """A layer whose files and directories are written, before it has a commit."""

    tree: TreeRef
    traits: LayerTraits
    diff_id: str


class _Group:
    """Layers that one child stores, one after the other, in one transaction."""

    def __init__(self, blobs: Sequence[BegunLayer], options: "_Options", stack: ExitStack) -> None:
        # The child first, then the transaction: it must not end while the child writes.
        self._stack = stack.enter_context(ExitStack())
        self._blobs = blobs
        self._commits: list[str] | None = None
        self.counters = [ByteCounter() for _ in blobs]
        self._repo = open_repo(options.repo_path)
        self._repo.set_disable_fsync(not options.fsync)
        with _storing(blobs[0].wanted):
            self._stack.enter_context(transaction(self._repo))
        self.child: Child[list[_StoredLayer]] = self._stack.enter_context(
            Child(lambda: self._store_all(allow_nonusr=options.allow_nonusr))
        )
        for begun in blobs:
            os.close(begun.blob.fd)

    def _store_all(self, *, allow_nonusr: bool) -> list[_StoredLayer]:
        objects = RepoObjects(self._repo)
        stored: list[_StoredLayer] = []
        for begun, counter in zip(self._blobs, self.counters, strict=True):
            with naming_layer(begun.wanted), _storing(begun.wanted):
                stored.append(
                    _store(
                        self._repo,
                        objects,
                        begun.blob.fd,
                        counter,
                        allow_nonusr=allow_nonusr,
                        in_process=len(self._blobs) > 1,
                    )
                )
        return stored

    @property
    def is_done(self) -> bool:
        """Whether the child has ended and its transaction too."""
        return self._commits is not None

    def commits(self) -> list[str]:
        """Wait for the child, write the layers' commits, and return them; they are durable then.

        Raises:
            BootcpyError: what went wrong in the child.
            ImageContentError: a layer is not the one the image names.
        """
        if self._commits is None:
            stored = self.child.result()
            commits: list[str] = []
            for layer, begun in zip(stored, self._blobs, strict=True):
                require_diff_id(layer.diff_id, begun.wanted.layer)
                with _storing(begun.wanted):
                    commits.append(write_layer(self._repo, layer.tree, layer.traits))
            with _storing(self._blobs[-1].wanted):
                self._stack.close()
            self._commits = commits
        return self._commits


class _GroupedJob(LayerJob):
    """One layer of a group."""

    def __init__(self, group: _Group, position: int, begun: BegunLayer) -> None:
        super().__init__(begun, group.counters[position])
        self._group = group
        self._position = position

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
        return self._group.commits()[self._position]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """What all layers of one import have in common."""

    repo_path: Path
    fsync: bool
    allow_nonusr: bool


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


def _store(
    repo: OSTree.Repo,
    objects: RepoObjects,
    blob_fd: int,
    counter: ByteCounter,
    *,
    allow_nonusr: bool,
    in_process: bool,
) -> _StoredLayer:
    place = temporary_directory(repo)
    with SpilledSort(place) as records:
        summary = read_layer(
            blob_fd, objects, records, counter, allow_nonusr=allow_nonusr, in_process=in_process
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
    allow_nonusr: bool,
    progress: Callable[[dict[int, int]], None],
) -> Generator[tuple[int, str]]:
    """Fetch and store layers; yield each one's index in `wanted` and its commit.

    `progress` is told the bytes read so far of the layers under way, by index.

    Raises:
        ImageUnavailableError: the source failed.
        ImageContentError: a layer is corrupt or is not the one the image names.
        NoSpaceError: the file system is full.
    """
    options = _Options(repo_path=repo_path, fsync=fsync, allow_nonusr=allow_nonusr)

    def start(blobs: Sequence[BegunLayer], stack: ExitStack) -> list[_GroupedJob]:
        group = _Group(blobs, options, stack)
        return [_GroupedJob(group, position, begun) for position, begun in enumerate(blobs)]

    groups = group_layers([layer.blob.size_bytes for layer in wanted])
    # Closed here, whatever happens: transactions that failed are to end before that is reported.
    with closing(
        fetch_groups(image, wanted, groups, start, at_once=workers, progress=progress)
    ) as jobs:
        for job in jobs:
            yield job.index, job.commit()
