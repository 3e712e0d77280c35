"""Layers that come through skopeo: fetched by the parent, taken in by children as they flow.

A few layers are under way at once. The proxy answers one request at a time and reports the
end of a blob only when asked, so the parent asks for the oldest layer's end and waits for
that answer and for the children in the same select().
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from select import select
from typing import Any, TypeVar

from bootcpy.errors import BootcpyError, ImageContentError, ImageUnavailableError, StalledError
from bootcpy.model.layer_role import LayerRole
from bootcpy.model.oci import Descriptor, Layer
from bootcpy.model.patience import explain_stall
from bootcpy.model.registry import explain_blob_failure
from bootcpy.system.child import Child
from bootcpy.system.layer_tar import ByteCounter
from bootcpy.system.skopeo import Blob, OpenedImage, ProxyRequestError, ProxyStalledError
from bootcpy.system.stalls import PipeProbe, Watch

_PROGRESS_INTERVAL_S = 0.2


@dataclass(frozen=True, slots=True)
class WantedLayer:
    """A layer to fetch: what the image calls it, and what the source delivers for it.

    `role` is what it is in the image, and so what it is stored as.
    """

    layer: Layer
    blob: Descriptor
    role: LayerRole


class LayerJob(ABC):
    """A layer under way: its blob, and the children that take it in."""

    def __init__(self, index: int, wanted: WantedLayer, blob: Blob) -> None:
        """Begin; the children of the job own `blob.fd` and move the counter."""
        self.index = index
        self.wanted = wanted
        self.blob = blob
        self.counter = ByteCounter()
        self.pipe = PipeProbe(blob.fd)
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
        try:
            yield
        except ImageContentError as e:
            message = f"layer {self.wanted.layer.blob.digest}: {e.message}"
            raise ImageContentError(message, hint=e.hint) from e

    def first_running(self) -> Child[Any] | None:
        """Return a child that has not ended yet, None when all have."""
        ended, _, _ = select(self.children, [], [], 0)
        return next((child for child in self.children if child not in ended), None)


_Job = TypeVar("_Job", bound=LayerJob)


def fetch_layers(
    image: OpenedImage,
    wanted: Sequence[WantedLayer],
    start: Callable[[int, WantedLayer, Blob, ExitStack], _Job],
    *,
    at_once: int,
    progress: Callable[[dict[int, int]], None],
) -> Iterator[_Job]:
    """Fetch layers and yield each one's job when it is delivered and its children have ended.

    `start` makes the job of a blob that begins to flow; its children end with the stack
    at the latest. `progress` is told the bytes read so far of the layers under way, by
    their index in `wanted`.

    Raises:
        StalledError: the source sends nothing any more.
        ImageUnavailableError: the source failed.
        ImageContentError: a layer is corrupt.
        BootcpyError: what went wrong in a child that stopped reading.
    """
    todo = list(enumerate(wanted))
    jobs: list[_Job] = []
    asked: _Job | None = None
    watch = Watch(None)
    with ExitStack() as children:
        while todo or jobs:
            if asked is None:
                while todo and len(jobs) < at_once:
                    index, layer = todo.pop(0)
                    jobs.append(start(index, layer, _start_blob(image, layer), children))
                    children.callback(jobs[-1].pipe.close)
                asked = next((job for job in jobs if not job.delivered), None)
                if asked:
                    image.ask_to_finish(asked.blob)
                    watch = Watch(image.stall_timeout_s)
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
                asked.pipe.close()
                asked.delivered, asked = True, None
            elif asked and watch.stalled(asked.counter.value, ours_to_read=asked.pipe.has_bytes()):
                raise _stalled(image, asked.wanted)
            for job in [job for job in jobs if job.delivered and not job.first_running()]:
                jobs.remove(job)
                yield job


def _start_blob(image: OpenedImage, wanted: WantedLayer) -> Blob:
    try:
        return image.start_blob(wanted.blob)
    except ProxyRequestError as e:
        raise _blob_error(image, wanted, str(e)) from e
    except ProxyStalledError as e:
        raise _stalled(image, wanted) from e


def _stalled(image: OpenedImage, wanted: WantedLayer) -> StalledError:
    digest = wanted.layer.blob.digest
    message, hint = explain_stall(image.reference, image.stall_timeout_s or 0, digest)
    return StalledError(message, hint=hint)


def _take_answer(image: OpenedImage, job: LayerJob) -> None:
    """Take the proxy's verdict on a blob; our own failure to read it explains a bad one."""
    try:
        image.finished()
    except ProxyRequestError as e:
        if "broken pipe" in str(e) or "EPIPE" in str(e):
            job.require_success()  # raises what made us stop reading
        raise _blob_error(image, job.wanted, str(e)) from e


def _blob_error(image: OpenedImage, wanted: WantedLayer, cause: str) -> BootcpyError:
    kind, message, hint = explain_blob_failure(cause, image.reference, wanted.layer.blob.digest)
    if kind == "content":
        return ImageContentError(message, hint=hint)
    return ImageUnavailableError(message, hint=hint)
