"""podman's storage, read where it lies.

The container that installs itself finds its own name here, and the unpacked trees of
its layers: reading those skips the tar that skopeo would have to put together again.
Only the overlay driver is understood, and only layers that consist of nothing but
files, directories, links and plain whiteouts; for anything else `find_layer_trees`
returns None and the layers come through skopeo.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootcpy.errors import EnvironmentMismatchError, ImageUnavailableError
from bootcpy.model.image.reference import ImageReference, Transport

STORAGE = Path("/var/lib/containers/storage")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnImage:
    """The image this process runs in.

    Attributes:
        name: as podman knows it, such as `quay.io/example/os:latest`.
        image_id: 64 hexadecimal digits.
    """

    name: str
    image_id: str

    @property
    def reference(self) -> ImageReference:
        """The image by its id, so that a tag moved meanwhile cannot mislead."""
        return ImageReference(Transport.CONTAINERS_STORAGE, f"@{self.image_id}")


def own_image(name: str, image_id: str, *, storage: Path = STORAGE) -> OwnImage:
    """Return the image that this container was started from, by what podman says of it.

    Raises:
        EnvironmentMismatchError: podman's storage is not visible in the container.
    """
    if not any((storage / f"{driver}-images").exists() for driver in ("overlay", "vfs")):
        raise EnvironmentMismatchError(
            f"podman's storage is not visible at {storage}",
            hint="add -v /var/lib/containers:/var/lib/containers to podman run",
        )
    return OwnImage(name=name, image_id=image_id)


def _read_records(path: Path) -> dict[str, Mapping[str, Any]]:
    """Read one of the storage's JSON lists, by id."""
    return {record["id"]: record for record in json.loads(path.read_text("utf-8"))}


def find_layer_trees(
    image_id: str, diff_ids: tuple[str, ...], *, storage: Path = STORAGE
) -> dict[str, Path] | None:
    """Return the unpacked trees of an image's layers, by their diff_ids.

    The chain of layers must be exactly the one that `diff_ids` names. None when
    the storage is laid out otherwise, which is no error: the caller reads through
    skopeo instead.

    Raises:
        ImageUnavailableError: the storage's own records are corrupt.
    """
    try:
        image = _read_records(storage / "overlay-images/images.json").get(image_id)
        layers = _read_records(storage / "overlay-layers/layers.json")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as e:
        raise ImageUnavailableError(
            f"the records of {storage} are corrupt: {e!r}",
            hint="see what `podman system check` says, or pull the image again",
        ) from e
    chain: list[Mapping[str, Any]] = []
    layer_id = image.get("layer") if image else None
    while layer_id:
        layer = layers.get(layer_id)
        if layer is None or layer in chain:  # gone, or corrupt
            return None
        chain.insert(0, layer)
        layer_id = layer.get("parent")
    if tuple(layer.get("diff-digest") for layer in chain) != diff_ids:
        return None
    trees = tuple(storage / "overlay" / layer["id"] / "diff" for layer in chain)
    mapped = any(layer.get("uidmap") or layer.get("gidmap") for layer in chain)
    if mapped or not all(tree.is_dir() for tree in trees):
        return None
    return dict(zip(diff_ids, trees, strict=True))


def image_id_of(reference: ImageReference) -> str | None:
    """Return the id of a containers-storage image given as `@ID`, None for other forms."""
    if reference.transport is not Transport.CONTAINERS_STORAGE:
        return None
    return reference.name[1:] if reference.name.startswith("@") else None
