"""How far an import is: what has been read of the layers that are missing."""

from collections.abc import Callable, Iterable, Mapping

from bootcpy.model.base.progress import Progress
from bootcpy.model.base.progress_events import layer_bytes, pulling_event
from bootcpy.model.image.missing import MissingLayers, WantedLayer
from bootcpy.system.image.skopeo import OpenedImage


class Reporter:
    """Turns what the importers count into progress events."""

    def __init__(
        self,
        image: OpenedImage,
        missing: MissingLayers,
        *,
        progress: Progress,
        name: str,
        also: Callable[[], None] | None = None,
    ) -> None:
        """Report on the layers `missing` of `image`, called `name`; call `also` with each event."""
        self._image = image
        self._name = name
        self._missing = missing
        self._progress = progress
        self._bytes = dict.fromkeys(missing.layers, 0)
        self._finished = 0
        self._also = also

    def counted(self, counts: Mapping[WantedLayer, int]) -> None:
        """Note the bytes read of layers under way."""
        for layer, count in counts.items():
            self._bytes[layer] = min(count, layer.blob.size_bytes)
        self._emit()

    def shared(self, total_cost_bytes: int, layers: Iterable[WantedLayer]) -> Callable[[int], None]:
        """Return a callback for layers stored together, which count costs, not bytes."""
        together = list(layers)
        total = sum(layer.blob.size_bytes for layer in together)
        spent = 0

        def done(cost_bytes: int) -> None:
            nonlocal spent
            spent += cost_bytes
            left = total * spent // max(total_cost_bytes, 1)
            for layer in together:
                self._bytes[layer] = min(left, layer.blob.size_bytes)
                left -= self._bytes[layer]
            self._emit()

        return done

    def finished(self, layer: WantedLayer) -> None:
        """Note that a layer is whole."""
        self._bytes[layer] = layer.blob.size_bytes
        self._finished += 1
        self._emit()

    def _emit(self) -> None:
        if self._also:
            self._also()
        missing = self._missing
        layers = [
            layer_bytes(
                wanted.layer.blob.digest,
                derived=wanted.role.is_derived,
                done_bytes=count,
                total_bytes=wanted.blob.size_bytes,
            )
            for wanted, count in self._bytes.items()
        ]
        self._progress.transferred(
            pulling_event(
                self._name,
                self._image.manifest_digest,
                layers,
                finished=self._finished,
                present=missing.present,
                present_bytes=missing.present_bytes,
            )
        )
