"""How far an import is: which layers are missing, and what has been read of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bootcpy.model.base.progress import Progress
from bootcpy.model.base.progress_events import layer_bytes, pulling_event
from bootcpy.model.base.size import format_size
from bootcpy.model.image.oci import Descriptor
from bootcpy.model.image.role import LayerRole
from bootcpy.ostree.layers.fetch import WantedLayer
from bootcpy.system.image.skopeo import OpenedImage


@dataclass(slots=True)
class Missing:
    """The layers of an image to import, those of an embedded commit first.

    Attributes:
        tree_role: what ordinary layers of the image are stored as, as far as is known.
        layers: what is to be fetched.
        present: how many layers are here and were checked, and `present_bytes` of blobs.
        unchecked: the digests of those to be fetched that another program has stored.
    """

    tree_role: LayerRole
    layers: list[WantedLayer] = field(default_factory=list)
    present: int = 0
    present_bytes: int = 0
    unchecked: set[str] = field(default_factory=set)

    @property
    def new(self) -> Sequence[Descriptor]:
        """The blobs to fetch of which, as far as can be told, nothing is here."""
        return [
            wanted.blob for wanted in self.layers if wanted.layer.blob.digest not in self.unchecked
        ]

    @property
    def unchecked_bytes(self) -> int:
        """What the blobs take up whose files are here, if others stored what they should."""
        return self.size_bytes - sum(blob.size_bytes for blob in self.new)

    @property
    def size_bytes(self) -> int:
        """What the blobs to fetch take up."""
        return sum(wanted.blob.size_bytes for wanted in self.layers)

    def derived(self) -> list[int]:
        """Return the indexes of the ordinary layers."""
        return [index for index, wanted in enumerate(self.layers) if wanted.role.is_ordinary]

    def embedded(self) -> list[int]:
        """Return the indexes of the embedded commit's layers."""
        return [index for index, wanted in enumerate(self.layers) if not wanted.role.is_ordinary]

    def over_base(self, others: "Missing") -> "Missing":
        """Return this, with the ordinary layers of `others`: found when the base had come."""
        embedded = [self.layers[index] for index in self.embedded()]
        return Missing(
            others.tree_role,
            layers=[*embedded, *others.layers],
            present=others.present - len(embedded),
            present_bytes=others.present_bytes
            - sum(wanted.layer.blob.size_bytes for wanted in embedded),
            unchecked=self.unchecked | others.unchecked,
        )

    def describe(self) -> str:
        """Say how much there is to fetch, in bootc's words."""
        return (
            f"layers already present: {self.present}; layers needed: {len(self.layers)} "
            f"({format_size(self.size_bytes)})"
        )

    def describe_unchecked(self) -> str | None:
        """Say why layers are fetched that are here; None if there are no such."""
        if not self.unchecked:
            return None
        return (
            "layers that another program or an older version stored unchecked, "
            f"fetched once more: {len(self.unchecked)}"
        )


class Reporter:
    """Turns what the importers count into progress events."""

    def __init__(
        self, image: OpenedImage, missing: Missing, progress: Progress, *, name: str
    ) -> None:
        self._image = image
        self._name = name
        self._missing = missing
        self._progress = progress
        self._ordinary = set(missing.derived())
        self._bytes = [0] * len(missing.layers)
        self._finished = 0
        self._also: Callable[[], None] | None = None

    def on_event(self, action: Callable[[], None]) -> None:
        """Have `action` called with every report."""
        self._also = action

    def _size(self, index: int) -> int:
        return self._missing.layers[index].blob.size_bytes

    def counted(self, counts: dict[int, int]) -> None:
        """Note the bytes read of layers under way."""
        for index, count in counts.items():
            self._bytes[index] = min(count, self._size(index))
        self._emit()

    def shared(self, total_cost_bytes: int, indexes: Sequence[int]) -> Callable[[int], None]:
        """Return a callback for layers stored together, which count costs, not bytes."""
        total = sum(self._size(index) for index in indexes)
        spent = 0

        def done(cost_bytes: int) -> None:
            nonlocal spent
            spent += cost_bytes
            left = total * spent // max(total_cost_bytes, 1)
            for index in indexes:
                self._bytes[index] = min(left, self._size(index))
                left -= self._bytes[index]
            self._emit()

        return done

    def finished(self, index: int) -> None:
        """Note that a layer is whole."""
        self._bytes[index] = self._size(index)
        self._finished += 1
        self._emit()

    def _emit(self) -> None:
        if self._also:
            self._also()
        missing = self._missing
        layers = [
            layer_bytes(
                wanted.layer.blob.digest,
                ordinary=index in self._ordinary,
                done_bytes=count,
                total_bytes=wanted.blob.size_bytes,
            )
            for index, (wanted, count) in enumerate(zip(missing.layers, self._bytes, strict=True))
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
