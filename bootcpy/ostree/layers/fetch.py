"""Layers that come through skopeo: fetched by the parent, taken in by children as they flow.

A few layers are under way at once. The proxy answers one request at a time and reports the
end of a blob only when asked, so the parent asks for the oldest layer's end and waits for
that answer and for the children in the same select().
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from select import select
from typing import Any, TypeVar

from bootcpy.errors import ImageContentError, ImageError, StalledError
from bootcpy.model.image.failures import explain_blob_failure
from bootcpy.model.image.missing import WantedLayer
from bootcpy.model.image.patience import explain_stall
from bootcpy.system.image.proxy import ProxyRequestError, ProxyStalledError
from bootcpy.system.image.skopeo import BlobStream, OpenedImage
from bootcpy.system.layers.tar import ByteCounter
from bootcpy.system.process.child import Child
from bootcpy.system.process.stalls import PipeProbe, Watch

_PROGRESS_INTERVAL_S = 0.2


@contextmanager
def naming_layer(wanted: WantedLayer) -> Generator[None]:
    """Have errors about a layer's content say which layer it is.

    Raises:
        ImageContentError: instead of the one that was raised.
    """
    try:
        yield
    except ImageContentError as e:
        message = f"layer {wanted.layer.blob.digest}: {e.message}"
        raise ImageContentError(message, hint=e.hint) from e


@dataclass(frozen=True, slots=True)
class BegunLayer:
    """A layer that flows: its blob, and what watches its pipe."""

    wanted: WantedLayer
    blob: BlobStream
    pipe: PipeProbe


class LayerJob(ABC):
    """A layer under way: its blob, and the children that take it in."""

    def __init__(self, begun: BegunLayer, counter: ByteCounter) -> None:
        """Keep what is under way; the job's children read the blob and move the counter."""
        self.wanted = begun.wanted
        self.blob = begun.blob
        self.pipe = begun.pipe
        self.counter = counter
        self.delivered = False  # the proxy has confirmed size and digest

    @property
    @abstractmethod
    def children(self) -> Sequence[Child[Any]]:
        """The processes at work on the layer."""

    @abstractmethod
    def require_success(self) -> None:
        """Wait for the children.

        Raises:
            BootcpyError: what went wrong in one of them.
        """

    @contextmanager
    def naming_layer(self) -> Generator[None]:
        """Have errors about the layer's content say which layer it is.

        Raises:
            ImageContentError: instead of the one that was raised.
        """
        with naming_layer(self.wanted):
            yield

    def first_running(self) -> Child[Any] | None:
        """Return a child that has not ended yet, None when all have."""
        ended, _, _ = select(self.children, [], [], 0)
        return next((child for child in self.children if child not in ended), None)


_Job = TypeVar("_Job", bound=LayerJob)


def fetch_layers(
    image: OpenedImage,
    wanted: Sequence[WantedLayer],
    start: Callable[[BegunLayer], AbstractContextManager[_Job]],
    *,
    at_once: int,
    progress: Callable[[Mapping[WantedLayer, int]], None],
) -> Generator[_Job]:
    """Fetch layers and yield each one's job when it is delivered and its children have ended.

    `start` makes the job of a blob that begins to flow; its children end with that context
    at the latest. `progress` is told the bytes read so far of the layers under way.

    Raises:
        StalledError: the source sends nothing any more.
        ImageUnavailableError: the source failed.
        ImageContentError: a layer is corrupt.
        BootcpyError: what went wrong in a child that stopped reading.
    """

    @contextmanager
    def start_one(blobs: Sequence[BegunLayer]) -> Generator[list[_Job]]:
        (begun,) = blobs
        with start(begun) as job:
            yield [job]

    groups = [[each] for each in wanted]
    yield from fetch_groups(image, groups, start_one, at_once=at_once, progress=progress)


def fetch_groups(
    image: OpenedImage,
    groups: Sequence[Sequence[WantedLayer]],
    start: Callable[[Sequence[BegunLayer]], AbstractContextManager[Sequence[_Job]]],
    *,
    at_once: int,
    progress: Callable[[Mapping[WantedLayer, int]], None],
) -> Generator[_Job]:
    """Fetch layers as `fetch_layers` does, those of one group at the same time.

    `start` makes the jobs of a group whose blobs begin to flow; that context ends when the
    last of these was yielded and its successor is asked for. `at_once` counts groups.

    Raises:
        BootcpyError: see `fetch_layers`.
    """
    todo = list(groups)
    running: list[tuple[list[_Job], ExitStack]] = []
    asked: _Job | None = None
    watch = Watch(None)
    with ExitStack() as children:
        while todo or running:
            if asked is None:
                while todo and len(running) < at_once:
                    context = children.enter_context(ExitStack())
                    begun = [_begin(image, each, context) for each in todo.pop(0)]
                    running.append((list(context.enter_context(start(begun))), context))
                jobs = [job for group, _ in running for job in group]
                asked = next((job for job in jobs if not job.delivered), None)
                if asked:
                    _ask_to_finish(image, asked)
                    watch = Watch(image.stall_timeout_s)
            jobs = [job for group, _ in running for job in group]
            waiting = [job.first_running() for job in jobs if job.delivered]
            ready, _, _ = select(
                [child for child in waiting if child] + ([image] if asked else []),
                [],
                [],
                0 if None in waiting else _PROGRESS_INTERVAL_S,
            )
            progress({job.wanted: job.counter.value for job in jobs})
            if asked and image in ready:
                _take_answer(image, asked)
                asked.pipe.close()
                asked.delivered, asked = True, None
            elif asked and watch.stalled(asked.counter.value, ours_to_read=asked.pipe.has_bytes()):
                raise _stalled(image, asked.wanted, image.stall_timeout_s)
            for group, context in running:
                for job in [job for job in group if job.delivered and not job.first_running()]:
                    group.remove(job)
                    yield job
                if not group:
                    context.close()
            running = [(group, context) for group, context in running if group]


def _begin(image: OpenedImage, wanted: WantedLayer, stack: ExitStack) -> BegunLayer:
    blob = _start_blob(image, wanted)
    stack.callback(blob.close)
    pipe = PipeProbe(blob.fd)
    stack.callback(pipe.close)
    return BegunLayer(wanted, blob, pipe)


def _start_blob(image: OpenedImage, wanted: WantedLayer) -> BlobStream:
    try:
        return image.start_blob(wanted.blob)
    except ProxyRequestError as e:
        raise _blob_error(image, wanted, e) from e
    except ProxyStalledError as e:
        raise _stalled(image, wanted, image.answer_timeout_s) from e


def _stalled(image: OpenedImage, wanted: WantedLayer, timeout_s: int | None) -> StalledError:
    return explain_stall(image.reference, timeout_s or 0, wanted.layer.blob.digest)


def _ask_to_finish(image: OpenedImage, job: LayerJob) -> None:
    try:
        image.ask_to_finish(job.blob)
    except ProxyRequestError as e:
        raise _blob_error(image, job.wanted, e) from e


def _take_answer(image: OpenedImage, job: LayerJob) -> None:
    """Take the proxy's verdict on a blob; our own failure to read it explains a bad one."""
    try:
        image.finished()
    except ProxyRequestError as e:
        if "broken pipe" in str(e) or "EPIPE" in str(e):
            job.require_success()  # raises what made us stop reading
        raise _blob_error(image, job.wanted, e) from e


def _blob_error(image: OpenedImage, wanted: WantedLayer, cause: ProxyRequestError) -> ImageError:
    return explain_blob_failure(str(cause), image.reference, wanted.layer.blob.digest)
