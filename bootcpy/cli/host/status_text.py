"""The host document as people read it, line by line as `bootc status` prints it.

Labels are aligned right, to the width of the entry's first line up to its colon.
"""

from collections.abc import Mapping

from bootcpy.model.base.printable import LONGEST_LABEL, printable
from bootcpy.model.host.document import (
    AccessMode,
    BootEntry,
    BootEntryOstree,
    Host,
    ImageStatus,
    Persistence,
    UsrOverlay,
)
from bootcpy.model.image.reference import (
    ContainerPolicy,
    Insecure,
    OstreeRemote,
    Signature,
    Transport,
)

NOT_DEPLOYED = "System is not deployed via bootc."

_STAGED, _BOOTED, _ROLLBACK, _OTHER = "  Staged", "● Booted", "  Rollback", "Other"


def render_host(host: Host, *, verbose: bool, accepted: Mapping[str, str] | None = None) -> str:
    """Return the text for a terminal, with a newline at the end.

    `accepted` says by which requirements of a policy an image was accepted, by the commit of
    its deployment; it shows with `verbose`.
    """
    status = host.status
    if status.booted is None:
        return f"{NOT_DEPLOYED}\n"
    slots = [
        (_STAGED, status.staged),
        (_BOOTED, status.booted),
        (_ROLLBACK, status.rollback),
        *((_OTHER, entry) for entry in status.other_deployments),
    ]
    sections = [
        _section(
            slot,
            entry,
            overlay=status.usr_overlay if slot == _BOOTED else None,
            verbose=verbose,
            accepted=accepted or {},
        )
        for slot, entry in slots
        if entry is not None
    ]
    return "\n".join(sections)


def _section(
    slot: str,
    entry: BootEntry,
    *,
    overlay: UsrOverlay | None,
    verbose: bool,
    accepted: Mapping[str, str],
) -> str:
    if entry.image is not None:
        title = f"{'   ' if slot == _OTHER else ''}{slot} image"
        first = f"{title}: {_name(entry.image)}"
        width = len(title)
        rows = _image_rows(entry, entry.image, overlay)
        if verbose:
            rows += [*_ostree_rows(slot, entry.ostree), *_commit_rows(entry.ostree)]
            rows += _signature_rows(entry.image.image.signature)
            if entry.ostree is not None and entry.ostree.checksum in accepted:
                rows.append(("Accepted", accepted[entry.ostree.checksum]))
    else:
        first = f"{' ' if slot == _OTHER else ''}{slot} ostree"
        width = len(first.encode())  # bootc counts bytes here, and the bullet has three
        rows = [*_commit_rows(entry.ostree), *_pinned_rows(entry), *_overlay_rows(overlay)]
        if verbose:
            rows += _ostree_rows(slot, entry.ostree)
    if verbose:
        rows.append(("Soft-reboot", _yes_no(yes=entry.soft_reboot_capable)))
        if slot == _STAGED:
            rows.append(("Download-only", _yes_no(yes=entry.download_only)))
    # Each on its line, whatever labels and names hold.
    lines = [first, *(f"{label:>{width}}: {value}" for label, value in rows)]
    return "".join(f"{printable(line)}\n" for line in lines)


_Rows = list[tuple[str, str]]


def _image_rows(entry: BootEntry, image: ImageStatus, overlay: UsrOverlay | None) -> _Rows:
    rows = [
        ("Digest", f"{image.image_digest} ({printable(image.architecture, limit=LONGEST_LABEL)})")
    ]
    if image.version is not None:
        rows.append(("Version", _version(image)))
    elif image.timestamp is not None:
        rows.append(("Timestamp", _seconds(image.timestamp)))
    rows += _pinned_rows(entry)
    update = entry.cached_update
    if update is not None and update.image_digest != image.image_digest:
        rows += [
            ("Update", "Available")
            if update.version is None
            else ("UpdateVersion", _version(update)),
            ("UpdateDigest", update.image_digest),
        ]
    return rows + _overlay_rows(overlay)


def _pinned_rows(entry: BootEntry) -> _Rows:
    return [("Pinned", "yes")] if entry.pinned else []


def _overlay_rows(overlay: UsrOverlay | None) -> _Rows:
    if overlay is None:
        return []
    lasts = "transient" if overlay.persistence is Persistence.TRANSIENT else "persistent"
    access = "read-only" if overlay.access_mode is AccessMode.READ_ONLY else "read/write"
    return [("/usr overlay", f"{lasts}, {access}")]


def _ostree_rows(slot: str, ostree: BootEntryOstree | None) -> _Rows:
    if ostree is None:
        return []
    return [
        ("StateRoot", ostree.stateroot),
        ("Deploy serial", str(ostree.deploy_serial)),
        ("Staged", _yes_no(yes=slot == _STAGED)),
    ]


def _commit_rows(ostree: BootEntryOstree | None) -> _Rows:
    return [] if ostree is None else [("Commit", ostree.checksum)]


def _signature_rows(signature: Signature) -> _Rows:
    match signature:
        case Insecure():
            return []
        case ContainerPolicy():
            return [("Signature", "container-policy")]
        case OstreeRemote(name):
            return [("Signature", f"ostree-remote:{name}")]


def _name(image: ImageStatus) -> str:
    reference = image.image.image
    if reference.transport is Transport.REGISTRY:
        return reference.name
    return f"{reference.transport.value}:{reference.name}"


def _version(image: ImageStatus) -> str:
    when = f" ({_seconds(image.timestamp)})" if image.timestamp else ""
    return f"{printable(image.version or '', limit=LONGEST_LABEL)}{when}"


def _seconds(timestamp: str) -> str:
    """Drop the fraction of a second."""
    return f"{timestamp.partition('.')[0].removesuffix('Z')}Z"


def _yes_no(*, yes: bool) -> str:
    return "yes" if yes else "no"
