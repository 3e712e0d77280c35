"""From facts about deployments to the host document: which entry is in which slot."""

import re
from dataclasses import replace
from datetime import UTC, datetime

from bootcpy.errors import ImageContentError
from bootcpy.model.host.deployments import BootState, Deployment, ImageRecord, Unlocked
from bootcpy.model.host.document import (
    AccessMode,
    BootEntry,
    BootEntryOstree,
    BootOrder,
    Host,
    HostSpec,
    HostStatus,
    HostType,
    ImageStatus,
    Persistence,
    UsrOverlay,
)
from bootcpy.model.image.oci import LABEL_CREATED, ImageConfig
from bootcpy.model.image.reference import SignedImageReference

_OVERLAYS = {
    Unlocked.DEVELOPMENT: UsrOverlay(
        access_mode=AccessMode.READ_WRITE, persistence=Persistence.TRANSIENT
    ),
    Unlocked.HOTFIX: UsrOverlay(
        access_mode=AccessMode.READ_WRITE, persistence=Persistence.PERSISTENT
    ),
    Unlocked.TRANSIENT: UsrOverlay(
        access_mode=AccessMode.READ_ONLY, persistence=Persistence.TRANSIENT
    ),
}
_RFC3339 = re.compile(
    r"(?P<seconds>\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d+))?"
    r"(?P<zone>[Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)


def host_from_state(state: BootState) -> Host:
    """Return the document that describes `state` (bootc `status.rs`, `get_status`)."""
    booted = _entry(state.booted)
    staged = _entry(state.staged)
    running = staged or booted
    order = BootOrder.ROLLBACK if state.rollback_queued else BootOrder.DEFAULT
    unlocked = state.booted.unlocked if state.booted else Unlocked.NONE
    return Host(
        spec=HostSpec(
            image=running.image.image if running and running.image else None, boot_order=order
        ),
        status=HostStatus(
            staged=staged,
            booted=booted,
            rollback=_entry(state.rollback),
            other_deployments=tuple(boot_entry(d) for d in state.others),
            rollback_queued=state.rollback_queued,
            type=HostType.BOOTC_HOST if booted and booted.image else None,
            usr_overlay=_OVERLAYS.get(unlocked),
            read_only=state.read_only,
        ),
    )


def booted_only(host: Host) -> Host:
    """Return `host` without its staged and rollback entries, as `status --booted` has it."""
    return replace(host, status=replace(host.status, staged=None, rollback=None))


def _entry(deployment: Deployment | None) -> BootEntry | None:
    return None if deployment is None else boot_entry(deployment)


def boot_entry(deployment: Deployment) -> BootEntry:
    """Return the entry that describes `deployment`.

    It has an image only if the commit was made from one and rpm-ostree changed nothing.
    """
    origin = deployment.origin
    incompatible = bool(origin.layering)
    follows = None if incompatible else origin.image
    return BootEntry(
        image=_image_status(follows, deployment.image),
        cached_update=_image_status(follows, deployment.cached_update),
        incompatible=incompatible,
        pinned=deployment.pinned,
        soft_reboot_capable=deployment.soft_reboot_capable,
        download_only=deployment.staged and deployment.finalization_locked,
        ostree=BootEntryOstree(
            stateroot=deployment.stateroot,
            checksum=deployment.checksum,
            deploy_serial=deployment.serial,
        ),
    )


def _image_status(
    image: SignedImageReference | None, record: ImageRecord | None
) -> ImageStatus | None:
    if image is None or record is None:
        return None
    return image_status(image, record)


def image_status(image: SignedImageReference, record: ImageRecord) -> ImageStatus:
    """Return what the document says of an image; a broken configuration says little."""
    try:
        config = ImageConfig.parse(record.config_text or "{}")
    except ImageContentError:
        config = ImageConfig.parse("{}")
    return ImageStatus(
        image=image,
        version=config.version,
        timestamp=rfc3339_utc(config.labels.get(LABEL_CREATED) or config.created),
        image_digest=record.manifest_digest,
        architecture=config.architecture,
    )


def rfc3339_utc(text: str | None) -> str | None:
    """Rewrite a time as bootc prints it: in UTC with 0, 3, 6 or 9 digits of a second.

    Nanoseconds are kept, which Python's own datetime cannot. None if it is not RFC 3339.
    """
    match = _RFC3339.fullmatch(text or "")
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(f"{match['seconds']}{match['zone']}".upper())
        utc = moment.astimezone(UTC)
    except (ValueError, OverflowError):  # nothing is before the year 1 or after 9999
        return None
    nanoseconds = (match["fraction"] or "")[:9].ljust(9, "0")
    while nanoseconds.endswith("000"):
        nanoseconds = nanoseconds[:-3]
    fraction = f".{nanoseconds}" if nanoseconds else ""
    return f"{utc.replace(tzinfo=None).isoformat(timespec='seconds')}{fraction}Z"
