"""An OCI image becomes an ostree commit: what is missing is fetched, then merged.

The refs and metadata are those of ostree-ext, so that bootc and rpm-ostree find
every layer that was imported here and the other way round:
`ostree/container/blob/...` for a layer, `ostree/container/image/...` for an image.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bootcpy.errors import ImageContentError, NoSpaceError
from bootcpy.model.image import ImageReference, escape_ref
from bootcpy.model.layer_units import total_cost
from bootcpy.model.oci import ImageConfig, Layer, Manifest, classify_layers
from bootcpy.model.progress import BytesProgress, LayerBytes, Progress
from bootcpy.model.size import format_size
from bootcpy.ostree import encapsulated, streamed, unpacked
from bootcpy.ostree.bindings import OSTree
from bootcpy.ostree.fetch import WantedLayer
from bootcpy.ostree.layers import blob_ref
from bootcpy.ostree.merge import KEY_CONFIG, KEY_MANIFEST, KEY_MANIFEST_DIGEST, merge_layers
from bootcpy.ostree.objects import commit_metadata
from bootcpy.ostree.repo import IMAGE_REFS, list_refs, open_repo, resolve, set_ref
from bootcpy.system.containers_storage import find_layer_trees, image_id_of
from bootcpy.system.skopeo import OpenedImage
from bootcpy.system.write_behind import WriteBehind

_WORKERS = min(os.cpu_count() or 1, 4)
_SHORT_DIGEST = 21  # as bootc shortens them in progress events


def image_ref(reference: ImageReference) -> str:
    """Return the ref under which the image's merge commit is kept."""
    return f"{IMAGE_REFS}/{escape_ref(str(reference))}"


def find_image(repo: OSTree.Repo, reference: ImageReference, manifest_digest: str) -> str | None:
    """Return the merge commit of the image if exactly this manifest is imported already."""
    commit = resolve(repo, image_ref(reference))
    if commit is None:
        return None
    known = commit_metadata(repo, commit).get(KEY_MANIFEST_DIGEST)
    return commit if known == manifest_digest else None


@dataclass(slots=True)
class _Missing:
    """The layers to import, with the trees podman has of them where it has any."""

    layers: list[WantedLayer] = field(default_factory=list)
    present: int = 0
    present_bytes: int = 0


def pull(
    repo_path: Path,
    image: OpenedImage,
    *,
    record_as: ImageReference,
    progress: Progress,
    fsync: bool = True,
) -> str:
    """Import `image` and return its merge commit; the image ref is named after `record_as`.

    Layers that are in the repository are not fetched. Each layer's ref is written as
    soon as that layer is whole, so an import that is cut short goes on from there.

    Raises:
        ImageUnavailableError, ImageContentError: the source or the image is bad.
        NoSpaceError: the layers do not fit.
    """
    repo = open_repo(repo_path)
    repo.set_disable_fsync(not fsync)
    if present := find_image(repo, record_as, image.manifest_digest):
        return present
    plan = classify_layers(image.manifest, image.config)
    base_layers = [*([plan.commit] if plan.commit else []), *plan.chunks]
    _adopt_by_diff_id(repo, [*base_layers, *plan.derived])
    base = encapsulated.import_base(repo_path, image, plan) if plan.commit else None
    missing = _find_missing(repo, image, plan.derived)
    _require_room(repo_path, missing)
    progress.note(
        f"layers already present: {missing.present}; layers needed: {len(missing.layers)} "
        f"({format_size(sum(wanted.blob.size_bytes for wanted in missing.layers))})"
    )
    _import_derived(repo_path, repo, image, missing, progress, fsync=fsync)
    with progress.step("Merging layers"):
        commit = merge_layers(
            repo,
            base=base,
            layers=[_require_ref(repo, layer) for layer in plan.derived],
            manifest_text=image.manifest_text,
            config_text=image.config_text,
            manifest_digest=image.manifest_digest,
        )
    set_ref(repo, image_ref(record_as), commit)
    return commit


def _require_ref(repo: OSTree.Repo, layer: Layer) -> str:
    commit = resolve(repo, blob_ref(layer.blob.digest))
    if commit is None:
        raise AssertionError(f"layer {layer.blob.digest} was imported but has no ref")
    return commit


def _adopt_by_diff_id(repo: OSTree.Repo, layers: Sequence[Layer]) -> None:
    """Give layers that are known under another blob digest (recompressed) their ref."""
    lacking = [layer for layer in layers if resolve(repo, blob_ref(layer.blob.digest)) is None]
    if not lacking:
        return
    known: dict[str, str] = {}
    for merged in list_refs(repo, IMAGE_REFS).values():
        metadata = commit_metadata(repo, merged)
        try:
            manifest = Manifest.parse(str(metadata[KEY_MANIFEST]))
            config = ImageConfig.parse(str(metadata[KEY_CONFIG]))
        except (KeyError, ImageContentError):
            continue  # written by a program that records less
        for blob, diff_id in zip(manifest.layers, config.diff_ids, strict=False):
            known.setdefault(diff_id, blob.digest)
    for layer in lacking:
        other = known.get(layer.diff_id)
        commit = resolve(repo, blob_ref(other)) if other else None
        if commit is not None:
            set_ref(repo, blob_ref(layer.blob.digest), commit)


def _find_missing(repo: OSTree.Repo, image: OpenedImage, layers: Sequence[Layer]) -> _Missing:
    delivered = dict(zip((blob.digest for blob in image.manifest.layers), image.blobs, strict=True))
    missing = _Missing()
    seen: set[str] = set()
    for layer in layers:
        if layer.blob.digest in seen:
            continue
        seen.add(layer.blob.digest)
        if resolve(repo, blob_ref(layer.blob.digest)) is None:
            missing.layers.append(WantedLayer(layer, delivered[layer.blob.digest]))
        else:
            missing.present += 1
            missing.present_bytes += layer.blob.size_bytes
    return missing


def _require_room(repo_path: Path, missing: _Missing) -> None:
    """Refuse an import that cannot fit, by what its blobs take up at the least.

    Raises:
        NoSpaceError: with both numbers.
    """
    needed = sum(wanted.blob.size_bytes for wanted in missing.layers)
    found = os.statvfs(repo_path)
    free = found.f_bavail * found.f_frsize
    if needed > free:
        raise NoSpaceError(
            f"Insufficient free space for the image at {repo_path} "
            f"(available: {format_size(free)} required: {format_size(needed)})",
            hint="free some space, or use a larger disk",
        )


def _import_derived(
    repo_path: Path,
    repo: OSTree.Repo,
    image: OpenedImage,
    missing: _Missing,
    progress: Progress,
    *,
    fsync: bool,
) -> None:
    wanted = missing.layers
    if not wanted:
        return
    report = _Reporter(image, missing, progress)
    with WriteBehind(repo_path) as disk:
        if not fsync:  # else libostree writes out every layer as it ends
            report.on_event(disk.nudge)
        _store(repo_path, repo, image, wanted, report, fsync=fsync)


def _store(
    repo_path: Path,
    repo: OSTree.Repo,
    image: OpenedImage,
    wanted: Sequence[WantedLayer],
    report: "_Reporter",
    *,
    fsync: bool,
) -> None:
    """Store the wanted layers, those that podman has unpacked straight from its storage."""
    local = _unpacked_layers(image, wanted)
    by_tree = [index for index in range(len(wanted)) if index in local]
    costs = {index: total_cost(local[index].scanned) for index in by_tree}
    if by_tree:
        stored = unpacked.store_layers(
            repo_path,
            [local[index] for index in by_tree],
            workers=_WORKERS,
            fsync=fsync,
            done=report.shared(sum(costs.values()), by_tree),
        )
        for position, commit in stored:
            index = by_tree[position]
            set_ref(repo, blob_ref(wanted[index].layer.blob.digest), commit)
            report.finished(index)
    by_stream = [index for index in range(len(wanted)) if index not in local]
    if by_stream:
        streamed_layers = streamed.store_layers(
            repo_path,
            image,
            [wanted[index] for index in by_stream],
            workers=_WORKERS,
            fsync=fsync,
            allow_nonusr=True,
            progress=lambda counts: report.counted({
                by_stream[position]: count for position, count in counts.items()
            }),
        )
        for position, commit in streamed_layers:
            index = by_stream[position]
            set_ref(repo, blob_ref(wanted[index].layer.blob.digest), commit)
            report.finished(index)


def _unpacked_layers(
    image: OpenedImage, wanted: Sequence[WantedLayer]
) -> dict[int, unpacked.UnpackedLayer]:
    """Return the layers that can be read from podman's storage, by index in `wanted`."""
    image_id = image_id_of(image.reference)
    trees = find_layer_trees(image_id, image.config.diff_ids) if image_id else None
    if trees is None:
        return {}
    position = {diff_id: index for index, diff_id in enumerate(image.config.diff_ids)}
    found: dict[int, unpacked.UnpackedLayer] = {}
    for index, item in enumerate(wanted):
        layer = unpacked.scan(trees[position[item.layer.diff_id]])
        if layer is not None:
            found[index] = layer
    return found


class _Reporter:
    """Turns what the importers count into progress events."""

    def __init__(self, image: OpenedImage, missing: _Missing, progress: Progress) -> None:
        self._image = image
        self._missing = missing
        self._progress = progress
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
        layers = tuple(
            LayerBytes(
                subtask="layer",
                description=wanted.layer.blob.digest[:_SHORT_DIGEST],
                id=wanted.layer.blob.digest[:_SHORT_DIGEST],
                bytes_cached=0,
                bytes=count,
                bytes_total=wanted.blob.size_bytes,
            )
            for wanted, count in zip(missing.layers, self._bytes, strict=True)
        )
        self._progress.transferred(
            BytesProgress(
                task="pulling",
                description=f"Pulling Image: {self._image.reference.name}",
                id=self._image.manifest_digest,
                bytes_cached=missing.present_bytes,
                bytes=sum(self._bytes),
                bytes_total=sum(layer.bytes_total for layer in layers),
                steps_cached=missing.present,
                steps=self._finished,
                steps_total=len(missing.layers),
                subtasks=layers,
            )
        )
