"""podman's storage, read where it lies.

The container that installs itself finds its own name here, and the unpacked trees of
its layers: reading those skips the tar that skopeo would have to put together again.
Only the overlay driver is understood, and only layers that consist of nothing but
files, directories, links and plain whiteouts; for anything else `find_layer_trees`
returns None and the layers come through skopeo.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootcpy.errors import EnvironmentMismatchError, ImageUnavailableError
from bootcpy.model.image import ImageReference, Transport
from bootcpy.paths import CONTAINER_ENV

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


def parse_container_env(text: str) -> dict[str, str]:
    """Read `/run/.containerenv`: lines of `key="value"`."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.strip(): "".join(shlex.split(value)) for key, _, value in pairs}


def read_own_image() -> OwnImage:
    """Return the image that the running container was started from.

    Raises:
        EnvironmentMismatchError: this is not a podman container, or podman's
            storage is not visible in it.
    """
    if not CONTAINER_ENV.exists():
        raise EnvironmentMismatchError(
            "Either --source-imgref must be defined or this command must be executed "
            "inside a podman container.",
            hint="podman run --rm --privileged --pid=host -v /dev:/dev "
            "-v /var/lib/containers:/var/lib/containers IMAGE bootc install ...",
        )
    values = parse_container_env(CONTAINER_ENV.read_text("utf-8"))
    if not values.get("engine", "").startswith("podman"):
        raise EnvironmentMismatchError(
            "Currently this command only supports being executed via podman"
        )
    if values.get("rootless") == "1":
        raise EnvironmentMismatchError(
            "Cannot install from rootless podman; this command must be run as root",
            hint="run podman with sudo",
        )
    image_id = values.get("imageid", "")
    if not image_id:
        raise EnvironmentMismatchError(f"{CONTAINER_ENV} does not name the image (imageid)")
    if not (STORAGE / "overlay-images").exists() and not (STORAGE / "vfs-images").exists():
        raise EnvironmentMismatchError(
            f"podman's storage is not visible at {STORAGE}",
            hint="add -v /var/lib/containers:/var/lib/containers to podman run",
        )
    return OwnImage(name=values.get("image", ""), image_id=image_id)


def _read_records(path: Path) -> dict[str, Mapping[str, Any]]:
    """Read one of the storage's JSON lists, by id."""
    return {record["id"]: record for record in json.loads(path.read_text("utf-8"))}


def find_layer_trees(
    image_id: str, diff_ids: tuple[str, ...], *, storage: Path = STORAGE
) -> tuple[Path, ...] | None:
    """Return the unpacked trees of an image's layers, bottom first.

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
        raise ImageUnavailableError(f"the records of {storage} are corrupt: {e!r}") from e
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
    return None if mapped or not all(tree.is_dir() for tree in trees) else trees


def image_id_of(reference: ImageReference) -> str | None:
    """Return the id of a containers-storage image given as `@ID`, None for other forms."""
    if reference.transport is not Transport.CONTAINERS_STORAGE:
        return None
    return reference.name[1:] if reference.name.startswith("@") else None
