"""Layers that come through skopeo: fetched, filtered and stored as they flow.

Every layer has one child that filters its tar and one or two that store files. Up to two
layers are under way at once. The proxy answers one request at a time and reports the end
of a blob only when asked, so the parent asks for the oldest layer's end and waits for
that answer and for its children in the same select().
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from select import select

from bootcpy.errors import BootcpyError, ImageContentError, ImageUnavailableError
from bootcpy.model.oci import Descriptor, Layer, require_diff_id
from bootcpy.model.registry import explain_blob_failure
from bootcpy.model.tree import TreeRef
from bootcpy.ostree.bindings import OSTree
from bootcpy.ostree.layers import (
    LayerTraits,
    store_archive,
    unite_archives,
    write_layer,
)
from bootcpy.ostree.repo import explained, open_repo, transaction
from bootcpy.system.child import Child
from bootcpy.system.layer_stream import LayerSummary, filter_layer
from bootcpy.system.layer_tar import ByteCounter
from bootcpy.system.skopeo import Blob, OpenedImage, ProxyRequestError

_PROGRESS_INTERVAL_S = 0.2


class ReaderGoneError(BootcpyError):
    """The process that stores the files ended first; its error is the one that counts."""


@dataclass(frozen=True, slots=True)
class WantedLayer:
    """A layer to fetch: what the image calls it and what the source delivers for it."""

    layer: Layer
    blob: Descriptor


class _Job:
    """A layer under way."""

    def __init__(
        self, index: int, wanted: WantedLayer, blob: Blob, start: "_Start", stack: ExitStack
    ) -> None:
        self.index = index
        self.wanted = wanted
        self.blob = blob
        self.counter = ByteCounter()
        self.delivered = False  # the proxy has confirmed size and digest
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
    def children(self) -> list[Child[TreeRef] | Child[LayerSummary]]:
        return [*self._stores, self._filter]

    def first_running(self) -> "Child[TreeRef] | Child[LayerSummary] | None":
        """Return a child that has not ended yet, None when all have."""
        ended, _, _ = select(self.children, [], [], 0)
        return next((child for child in self.children if child not in ended), None)

    def trees(self) -> tuple[list[TreeRef], LayerSummary]:
        """Wait for the children and return what they found.

        Raises:
            BootcpyError: what went wrong in one of them.
        """
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
    todo = list(enumerate(wanted))
    jobs: list[_Job] = []
    asked: _Job | None = None
    with ExitStack() as children:
        while todo or jobs:
            if asked is None:
                while todo and len(jobs) < workers:
                    jobs.append(_start_job(image, *todo.pop(0), start, children))
                asked = next((job for job in jobs if not job.delivered), None)
                if asked:
                    image.ask_to_finish(asked.blob)
            waiting = [job.first_running() for job in jobs if job.delivered]
            ready, _, _ = select(
                [child for child in waiting if child] + ([image] if asked else []),
                [],
                [],
                0 if None in waiting else _PROGRESS_INTERVAL_S,
            )
            progress({job.index: job.counter.value for job in jobs})
            if asked and image in ready:
                _take_answer(image, asked)
                asked.delivered, asked = True, None
            for job in [job for job in jobs if job.delivered and not job.first_running()]:
                jobs.remove(job)
                yield job.index, _finish(repo, job)


def _start_job(
    image: OpenedImage, index: int, wanted: WantedLayer, start: _Start, stack: ExitStack
) -> _Job:
    try:
        blob = image.start_blob(wanted.blob)
    except ProxyRequestError as e:
        raise _blob_error(image, wanted, str(e)) from e
    return _Job(index, wanted, blob, start, stack)


def _blob_error(image: OpenedImage, wanted: WantedLayer, cause: str) -> BootcpyError:
    kind, message, hint = explain_blob_failure(cause, image.reference, wanted.layer.blob.digest)
    if kind == "content":
        return ImageContentError(message, hint=hint)
    return ImageUnavailableError(message, hint=hint)


def _take_answer(image: OpenedImage, job: _Job) -> None:
    """Take the proxy's verdict on a blob; our own failure to read it explains a bad one."""
    try:
        image.finished()
    except ProxyRequestError as e:
        if "broken pipe" in str(e) or "EPIPE" in str(e):
            job.trees()  # raises what made us stop reading
        raise _blob_error(image, job.wanted, str(e)) from e


def _finish(repo: OSTree.Repo, job: _Job) -> str:
    trees, summary = job.trees()
    layer = job.wanted.layer
    require_diff_id(summary.diff_id, layer)
    with explained("cannot store the layer"), transaction(repo):
        root = unite_archives(repo, trees, summary)
        root.write()
    traits = LayerTraits(implicit=frozenset(summary.implicit), whiteouts=summary.whiteouts)
    return write_layer(repo, root, traits)
