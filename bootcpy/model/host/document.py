"""The host document, `org.containers.bootc/v1`: the types behind `bootc status`.

Field order is the order of the YAML form; names become camelCase. A field is written
as null when it is None, unless it is listed in `OMITTED_WHEN_EMPTY`. How the types
become text is `bootcpy.model.host.document_text`, how they are computed from facts
`bootcpy.model.host.status`.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from bootcpy.model.image.reference import SignedImageReference

API_VERSION = "org.containers.bootc/v1"
KIND = "BootcHost"
OMITTED_WHEN_EMPTY = frozenset({"other_deployments"})


class BootOrder(StrEnum):
    """Which entry boots next: the staged or booted one, or the rollback."""

    DEFAULT = "default"
    ROLLBACK = "rollback"


class AccessMode(StrEnum):
    """Whether an overlay may be written."""

    READ_ONLY = "readOnly"
    READ_WRITE = "readWrite"


class Persistence(StrEnum):
    """Whether an overlay survives a reboot."""

    TRANSIENT = "transient"
    PERSISTENT = "persistent"


class HostType(StrEnum):
    """The kind of system; absent where no container image was deployed."""

    BOOTC_HOST = "bootcHost"


class Store(StrEnum):
    """Where the images of a boot entry are kept."""

    OSTREE_CONTAINER = "ostreeContainer"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsrOverlay:
    """The overlay mounted on /usr."""

    access_mode: Annotated[AccessMode, "Whether the overlay may be written"]
    persistence: Annotated[Persistence, "Whether the overlay survives a reboot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStatus:
    """An image that was fetched, or whose metadata was."""

    image: Annotated[SignedImageReference, "Where the image comes from"]
    version: Annotated[str | None, "The image's version label"]
    timestamp: Annotated[str | None, "When the image was made (RFC 3339, UTC)"]
    image_digest: Annotated[str, "The digest of the image's manifest"]
    architecture: Annotated[str, "The image's architecture, in OCI's spelling"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BootEntryOstree:
    """Where an entry is found among ostree's deployments."""

    stateroot: Annotated[str, "The name of the storage that holds /var"]
    checksum: Annotated[str, "The ostree commit"]
    deploy_serial: Annotated[int, "Distinguishes deployments of the same commit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BootEntry:
    """Something that can be booted."""

    image: Annotated[ImageStatus | None, "The image; absent if the entry is not an image"]
    cached_update: Annotated[ImageStatus | None, "The update that was seen last"] = None
    incompatible: Annotated[bool, "Whether the origin has local changes by rpm-ostree"] = False
    pinned: Annotated[bool, "Whether the entry is kept until it is unpinned"] = False
    soft_reboot_capable: Annotated[bool, "Whether a soft reboot into it is possible"] = False
    download_only: Annotated[bool, "Staged, but held back from the next boot"] = False
    store: Annotated[Store | None, "Where its image is kept"] = Store.OSTREE_CONTAINER
    ostree: Annotated[BootEntryOstree | None, "Its place among ostree's deployments"] = None
    composefs: Annotated[None, "Always null: entries of the composefs backend are not read"] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """What the administrator asked for."""

    image: Annotated[SignedImageReference | None, "The image to follow"] = None
    boot_order: Annotated[BootOrder, "Which entry boots next"] = BootOrder.DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """What is there."""

    staged: Annotated[BootEntry | None, "Takes effect at the next boot"] = None
    booted: Annotated[BootEntry | None, "Runs now"] = None
    rollback: Annotated[BootEntry | None, "Ran before"] = None
    other_deployments: Annotated[tuple[BootEntry, ...], "Pinned and foreign entries"] = ()
    rollback_queued: Annotated[bool, "Whether the rollback boots next"] = False
    type: Annotated[HostType | None, "The kind of system"] = None
    usr_overlay: Annotated[UsrOverlay | None, "The overlay mounted on /usr"] = None
    read_only: Annotated[bool, "Whether /sysroot is on a read-only device"] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectMeta:
    """Names the object; there is one per system."""

    name: Annotated[str, "Always `host`"] = "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The state of a host and what was asked of it."""

    api_version: Annotated[str, "The version of this document's format"] = API_VERSION
    kind: Annotated[str, "Always `BootcHost`"] = KIND
    metadata: Annotated[ObjectMeta, "The object's name"] = field(default_factory=ObjectMeta)
    spec: Annotated[HostSpec, "What the administrator asked for"] = field(default_factory=HostSpec)
    status: Annotated[HostStatus, "The state that was found"] = field(default_factory=HostStatus)
