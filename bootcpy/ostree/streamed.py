"""Ordinary layers that come through skopeo: filtered and stored as they flow.

Every layer has one child that filters its tar and one or more that store its files.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bootcpy.errors import BootcpyError
from bootcpy.model.oci import require_diff_id
from bootcpy.model.tree import TreeRef
from bootcpy.ostree.bindings import OSTree
from bootcpy.ostree.fetch import LayerJob, WantedLayer, fetch_layers
from bootcpy.ostree.layers import (
    LayerTraits,
    store_archive,
    unite_archives,
    write_layer,
)
from bootcpy.ostree.repo import explained, open_repo
from bootcpy.system.child import Child
from bootcpy.system.layer_stream import LayerSummary, filter_layer
from bootcpy.system.layer_tar import ByteCounter
from bootcpy.system.skopeo import Blob, OpenedImage


class ReaderGoneError(BootcpyError):
    """The process that stores the files ended first; its error is the one that counts."""


class _ArchiveJob(LayerJob):
    """A layer that is filtered and stored."""

    def __init__(
        self, index: int, wanted: WantedLayer, blob: Blob, start: "_Start", stack: ExitStack
    ) -> None:
        super().__init__(index, wanted, blob)
        pipes = [os.pipe() for _ in range(start.shards)]
        writers = [write for _, write in pipes]
        self._stores: list[Child[TreeRef]] = []
        for read, _ in pipes:
            others = [other for other, _ in pipes if other != read]
            store = Child(_store_work(start, read), close=[*writers, *others, blob.fd])
            self._stores.append(stack.enter_context(store))
        for read, _ in pipes:
            os.close(read)
        self._filter: Child[LayerSummary] = stack.enter_context(
            Child(_filter_work(start, blob.fd, writers, self.counter))
        )
        for fd in (*writers, blob.fd):
            os.close(fd)

    @property
    def children(self) -> Sequence[Child[TreeRef] | Child[LayerSummary]]:
        return [*self._stores, self._filter]

    def require_success(self) -> None:
        self.trees()

    def trees(self) -> tuple[list[TreeRef], LayerSummary]:
        """Wait for the children and return what they found.

        Raises:
            BootcpyError: what went wrong in one of them.
        """
        with self.naming_layer():
            return self._trees()

    def _trees(self) -> tuple[list[TreeRef], LayerSummary]:
        failure: BootcpyError | None = None
        summary = LayerSummary()
        try:
            summary = self._filter.result()
        except BootcpyError as e:
            failure = e
        if failure and not isinstance(failure, ReaderGoneError):
            raise failure
        trees = [store.result() for store in self._stores]
        if failure:
            raise failure
        for child in self.children:
            child.close()
        return trees, summary


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """What every job of one import has in common."""

    repo_path: Path
    shards: int
    fsync: bool
    allow_nonusr: bool


def _store_work(start: _Start, fd: int) -> Callable[[], TreeRef]:
    return lambda: store_archive(start.repo_path, fd, fsync=start.fsync)


def _filter_work(
    start: _Start, blob_fd: int, writers: list[int], counter: ByteCounter
) -> Callable[[], LayerSummary]:
    def work() -> LayerSummary:
        try:
            return filter_layer(blob_fd, writers, counter, allow_nonusr=start.allow_nonusr)
        except BrokenPipeError as e:
            raise ReaderGoneError("the layer could not be stored") from e

    return work


def store_layers(
    repo_path: Path,
    image: OpenedImage,
    wanted: Sequence[WantedLayer],
    *,
    workers: int,
    fsync: bool,
    allow_nonusr: bool,
    progress: Callable[[dict[int, int]], None],
) -> Iterator[tuple[int, str]]:
    """Fetch and store layers; yield each one's index in `wanted` and its commit.

    `progress` is told the bytes read so far of the layers under way, by index.

    Raises:
        ImageUnavailableError: the source failed.
        ImageContentError: a layer is corrupt or is not the one the image names.
        NoSpaceError: the file system is full.
    """
    shards = workers if len(wanted) == 1 else 1
    start = _Start(repo_path=repo_path, shards=shards, fsync=fsync, allow_nonusr=allow_nonusr)
    repo = open_repo(repo_path)
    repo.set_disable_fsync(not fsync)

    def start_job(index: int, layer: WantedLayer, blob: Blob, stack: ExitStack) -> _ArchiveJob:
        return _ArchiveJob(index, layer, blob, start, stack)

    for job in fetch_layers(image, wanted, start_job, at_once=workers, progress=progress):
        yield job.index, _finish(repo, job)


def _finish(repo: OSTree.Repo, job: _ArchiveJob) -> str:
    trees, summary = job.trees()
    layer = job.wanted.layer
    require_diff_id(summary.diff_id, layer)
    with explained("cannot store the layer"):
        root = unite_archives(repo, trees, summary)
    traits = LayerTraits(implicit=frozenset(summary.implicit), whiteouts=summary.whiteouts)
    return write_layer(repo, root, traits)
