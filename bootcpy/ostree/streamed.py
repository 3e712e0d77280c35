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
from bootcpy.ostree.repo import explained, open_repo, transaction
from bootcpy.system.child import Child
from bootcpy.system.layer_stream import LayerSummary, filter_layer
from bootcpy.system.layer_tar import ByteCounter, wide_pipe
from bootcpy.system.skopeo import Blob, OpenedImage


class ReaderGoneError(BootcpyError):
    """The process that stores the files ended first; its error is the one that counts."""


class _ArchiveJob(LayerJob):
    """A layer that is filtered and stored, in one transaction of all its processes."""

    def __init__(
        self, index: int, wanted: WantedLayer, blob: Blob, start: "_Start", stack: ExitStack
    ) -> None:
        super().__init__(index, wanted, blob)
        # Children first, then the transaction: it must not end while they write.
        self._stack = stack.enter_context(ExitStack())
        self._repo = open_repo(start.repo_path)
        self._repo.set_disable_fsync(not start.fsync)
        with explained("cannot store the layer"):
            self._stack.enter_context(transaction(self._repo))
        pipes = [wide_pipe() for _ in range(start.shards)]
        writers = [write for _, write in pipes]
        self._stores: list[Child[TreeRef]] = []
        for read, _ in pipes:
            others = [other for other, _ in pipes if other != read]
            store = Child(_store_work(self._repo, read), close=[*writers, *others, blob.fd])
            self._stores.append(self._stack.enter_context(store))
        for read, _ in pipes:
            os.close(read)
        self._filter: Child[LayerSummary] = self._stack.enter_context(
            Child(_filter_work(start, blob.fd, writers, self.counter))
        )
        for fd in (*writers, blob.fd):
            os.close(fd)

    @property
    def children(self) -> Sequence[Child[TreeRef] | Child[LayerSummary]]:
        return [*self._stores, self._filter]

    def require_success(self) -> None:
        self._trees()

    def commit(self) -> str:
        """Wait for the children, write the layer's commit, and return it; it is durable then.

        Raises:
            BootcpyError: what went wrong in one of them.
            ImageContentError: the layer is not the one the image names.
        """
        trees, summary = self._trees()
        require_diff_id(summary.diff_id, self.wanted.layer)
        with explained("cannot store the layer"):
            root = unite_archives(self._repo, trees, summary)
            traits = LayerTraits(implicit=frozenset(summary.implicit), whiteouts=summary.whiteouts)
            commit = write_layer(self._repo, root, traits)
            self._stack.close()
        return commit

    def _trees(self) -> tuple[list[TreeRef], LayerSummary]:
        with self.naming_layer():
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
            return trees, summary


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """What every job of one import has in common."""

    repo_path: Path
    shards: int
    fsync: bool
    allow_nonusr: bool


def _store_work(repo: OSTree.Repo, fd: int) -> Callable[[], TreeRef]:
    return lambda: store_archive(repo, fd)


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
    # A layer alone: its decompression and its filter keep as many processors busy as its stores.
    shards = max(workers // 2, 1) if len(wanted) == 1 else 1
    start = _Start(repo_path=repo_path, shards=shards, fsync=fsync, allow_nonusr=allow_nonusr)

    def start_job(index: int, layer: WantedLayer, blob: Blob, stack: ExitStack) -> _ArchiveJob:
        return _ArchiveJob(index, layer, blob, start, stack)

    for job in fetch_layers(image, wanted, start_job, at_once=workers, progress=progress):
        yield job.index, job.commit()
