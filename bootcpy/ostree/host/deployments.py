"""Reading the deployments of the running system through libostree.

Nothing here writes, locks or mounts: any number of readers may run at once, with or
without privileges, also while another process deploys.
"""

import os
import time
from pathlib import Path
from typing import Any

from bootcpy import paths
from bootcpy.errors import DeploymentError
from bootcpy.model.host.deployments import BootState, Deployment, ImageRecord, Unlocked
from bootcpy.model.host.origin import Origin
from bootcpy.ostree.base.bindings import GLib, OSTree
from bootcpy.ostree.base.repo import explained
from bootcpy.ostree.host.soft_reboot import can_enter
from bootcpy.ostree.image.acceptance import read_acceptance
from bootcpy.ostree.image.metadata import (
    CACHED_CONFIG,
    CACHED_DIGEST,
    CACHED_MANIFEST,
    KEY_CONFIG,
    KEY_MANIFEST,
    KEY_MANIFEST_DIGEST,
)

# A deployment that is replaced while it is read looks broken for a moment only.
_ATTEMPTS = 5
_PAUSE_S = 0.1

_STRING = GLib.VariantType("s")

# By the values of OstreeDeploymentUnlockedState.
_UNLOCKED = (Unlocked.NONE, Unlocked.DEVELOPMENT, Unlocked.HOTFIX, Unlocked.TRANSIENT)

# Holds back what is staged, whatever the deployment itself says; rpm-ostree's way, and old.
STAGED_LOCK = Path("/run/ostree/staged-deployment-locked")


def read_boot_state() -> BootState:
    """Return the facts about all deployments of the running system.

    Raises:
        DeploymentError: the deployments or the repository cannot be read.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        sysroot = OSTree.Sysroot.new_default()
        try:
            sysroot.load(None)
            return boot_state(sysroot)
        except GLib.Error as e:
            if attempt == _ATTEMPTS:
                cause = _find_unreadable_origin() or e.message
                raise DeploymentError(
                    f"the deployments of this system cannot be read: {cause}",
                    hint=_hint(cause) if os.geteuid() == 0 else "run the command as root",
                ) from e
        time.sleep(_PAUSE_S)
    raise AssertionError  # the loop returns or raises


def _find_unreadable_origin() -> str | None:
    """Name an origin file that is no text, which libostree does not name."""
    for origin in sorted((paths.SYSROOT / "ostree/deploy").glob("*/deploy/*.origin")):
        try:
            origin.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return f"{origin} is not UTF-8 text"
        except OSError as e:
            return f"{origin}: {e.strerror}"
    return None


def _hint(message: str) -> str | None:
    """Return what lets libostree read its deployments again; its own tools cannot either."""
    if ".origin" in message:
        return "correct or empty the origin file, then use `bootc switch IMAGE`"
    if "Parsing deployment" in message and "No such file" in message:
        return (
            "restore the deployment's directory, or remove the file in /boot/loader/entries "
            "whose options name it"
        )
    return "correct the file that is named; `ostree admin status` reads the same files"


def boot_state(sysroot: OSTree.Sysroot) -> BootState:
    """Return the facts about the deployments of a loaded `sysroot`.

    Raises:
        DeploymentError: an origin file is corrupt.
        gi.repository.GLib.Error: the repository cannot be read.
    """
    repo = sysroot.repo()
    booted = sysroot.get_booted_deployment()
    return BootState(
        deployments=tuple(
            _deployment(sysroot, repo, deployment, booted)
            for deployment in sysroot.get_deployments()
        ),
        read_only=_is_on_read_only_medium(paths.SYSROOT),
    )


def _deployment(
    sysroot: OSTree.Sysroot,
    repo: OSTree.Repo,
    deployment: OSTree.Deployment,
    booted: OSTree.Deployment | None,
) -> Deployment:
    checksum, serial = deployment.get_csum(), deployment.get_deployserial()
    is_booted = booted is not None and deployment.equal(booted)
    text = _origin_text(deployment.get_origin())
    image, cached_update = _records(repo, checksum)
    origin = Origin.parse(text, name=f"{checksum}.{serial}.origin")
    return Deployment(
        checksum=checksum,
        serial=serial,
        stateroot=deployment.get_osname(),
        index=deployment.get_index(),
        origin=origin,
        booted=is_booted,
        staged=deployment.is_staged(),
        finalization_locked=deployment.is_staged() and is_locked(deployment),
        pinned=deployment.is_pinned(),
        soft_reboot_capable=can_enter(sysroot, deployment),
        unlocked=_UNLOCKED[int(deployment.get_unlocked())],
        image=image,
        cached_update=cached_update,
        accepted_by=_accepted_by(repo, checksum, origin),
    )


def _accepted_by(repo: OSTree.Repo, checksum: str, origin: Origin) -> str | None:
    """Return what accepted the image that is followed, if that is what the commit is of."""
    accepted = read_acceptance(repo, checksum)
    if accepted is None or origin.image is None:
        return None
    return accepted.words if accepted.image == str(origin.image.image.for_pull()) else None


def _origin_text(key_file: GLib.KeyFile | None) -> str:
    """Return an origin as text; a deployment without the file has None, which the stubs hide."""
    return "" if key_file is None else key_file.to_data()[0]


def read_image(repo: OSTree.Repo, commit: str) -> ImageRecord | None:
    """Return what `commit` says of the image it was made from, None if of none.

    Raises:
        BootcpyError: there is no such commit.
    """
    with explained(f"commit {commit} cannot be read"):
        return _records(repo, commit)[0]


def _records(repo: OSTree.Repo, checksum: str) -> tuple[ImageRecord | None, ImageRecord | None]:
    """Return what a commit says of its image, and of the update that was seen last."""
    _, commit, _ = repo.load_commit(checksum)
    metadata = commit.get_child_value(0)
    _, detached = repo.read_commit_detached_metadata(checksum, None)
    return (
        _record(metadata, KEY_MANIFEST_DIGEST, KEY_MANIFEST, KEY_CONFIG),
        _record(detached, CACHED_DIGEST, CACHED_MANIFEST, CACHED_CONFIG),
    )


def _record(
    metadata: GLib.Variant | None, digest: str, manifest: str, config: str
) -> ImageRecord | None:
    if metadata is None:  # no detached metadata, which the stubs hide
        return None
    texts = [_text(metadata, key) for key in (digest, manifest, config)]
    if texts[0] is None or texts[1] is None:
        return None
    return ImageRecord(manifest_digest=texts[0], manifest_text=texts[1], config_text=texts[2])


def _text(metadata: GLib.Variant, key: str) -> str | None:
    value: Any = metadata.lookup_value(key, None)
    return value.get_string() if value is not None and value.is_of_type(_STRING) else None


def is_locked(deployment: OSTree.Deployment) -> bool:
    """Return whether the staged `deployment` is held back from the next boot."""
    if hasattr(deployment, "is_finalization_locked") and deployment.is_finalization_locked():
        return True
    return STAGED_LOCK.exists()  # all there was before libostree 2023.8, and still heeded


def _is_on_read_only_medium(path: Path) -> bool:
    """Return whether the block device below `path` refuses writes (not: a read-only mount)."""
    device = path.stat().st_dev
    flag = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/ro")
    try:
        return flag.read_text(encoding="ascii").strip() == "1"
    except FileNotFoundError:  # no block device, as for btrfs or overlayfs
        return False
