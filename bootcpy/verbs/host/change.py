"""What upgrade, switch, rollback and edit share: rights, the lock, fetching, carrying out.

A verb opens the system with `changing()`, decides with `bootcpy.model.host.decisions`, and hands
the decision to `carry_out()`. Nothing is printed here: the outcome holds the lines.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from bootcpy import paths
from bootcpy.errors import (
    ImageUnavailableError,
    NoSpaceError,
    StalledError,
)
from bootcpy.model.base.progress import Progress
from bootcpy.model.boot.kernels import kernel_versions
from bootcpy.model.host.decisions import (
    Decision,
    Keep,
    Reorder,
    SetLock,
    Stage,
    require_changeable,
)
from bootcpy.model.host.deployments import BootState, Deployment, ImageRecord
from bootcpy.model.host.space import BootSpace, Download, foresee_boot_room
from bootcpy.model.image.failures import is_transient
from bootcpy.model.image.oci import LABEL_KERNEL
from bootcpy.model.image.reference import SignedImageReference
from bootcpy.ostree.base import space
from bootcpy.ostree.base.bindings import OSTree
from bootcpy.ostree.base.commit_tree import CommitTree
from bootcpy.ostree.host import deployments, staging
from bootcpy.ostree.host.booted import locked_system
from bootcpy.ostree.image import importer
from bootcpy.system.host import notice, systemd
from bootcpy.system.image.skopeo import OpenedImage, opened
from bootcpy.verbs.base.acceptance import note_accepted, require_accepted
from bootcpy.verbs.base.rights import require_rights
from bootcpy.verbs.boot.boot_check import forget_overtaken, note_staged
from bootcpy.verbs.host import soft_reboot

REPO = paths.SYSROOT / paths.REPO
_ATTEMPTS = 4
_ATTEMPTS_STALLED = 2  # each has taken long already, and the lock is held
_FIRST_PAUSE_S = 1.0

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a command ended: the lines for stdout, and whether the system is to reboot now."""

    lines: tuple[str, ...] = ()
    reboot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The booted system while this process holds its lock."""

    sysroot: OSTree.Sysroot
    state: BootState
    progress: Progress

    @property
    def booted(self) -> Deployment:
        """The deployment that runs."""
        return require_changeable(self.state)


@contextmanager
def changing(progress: Progress) -> Generator[System]:
    """Hold the lock of the booted system, with its deployments as they are under it.

    Raises:
        EnvironmentMismatchError, PrivilegeError: this is a container, or a right is missing.
        DeploymentError: the system was not booted through libostree, or cannot be changed.
    """
    require_rights()
    if not paths.OSTREE_BOOTED.exists():
        require_changeable(BootState())
    require_changeable(deployments.read_boot_state())  # before anything is mounted or locked
    with locked_system(progress) as sysroot:
        yield System(sysroot=sysroot, state=deployments.boot_state(sysroot), progress=progress)


def with_image(
    image: SignedImageReference, progress: Progress, use: Callable[[OpenedImage], _Result]
) -> _Result:
    """Open `image` and return what `use` makes of it; try again when the network fails.

    `use` must be able to start over: layers that were complete are found again.

    Raises:
        ImageUnavailableError: it failed for good, or too often.
    """
    pause_s = _FIRST_PAUSE_S
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with opened(image.image, signature=image.signature) as source:
                return use(source)
        except ImageUnavailableError as e:
            if attempt >= _attempts(e):
                raise
            progress.note(f"{e.message}; trying again in {pause_s:g} s")
        time.sleep(pause_s)
        pause_s *= 2
    raise AssertionError  # the loop returns or raises


def _attempts(error: ImageUnavailableError) -> int:
    """Return how often to try where this comes in between."""
    if isinstance(error, StalledError):
        return _ATTEMPTS_STALLED
    return _ATTEMPTS if is_transient(error.message) else 1


def record_of(source: OpenedImage) -> ImageRecord:
    """Return what a commit would say of the opened image."""
    return ImageRecord(
        manifest_digest=source.manifest_digest,
        manifest_text=source.manifest_text,
        config_text=source.config_text,
    )


def note_update(system: System, image: SignedImageReference, update: ImageRecord) -> None:
    """Note on every deployment that follows `image` what the newest of it is.

    A deployment that is the newest itself gets the note only in place of an older one.
    """
    for deployment in system.state.deployments:
        record, cached = deployment.image, deployment.cached_update
        follows = deployment.origin.image is not None and deployment.origin.image == image
        known = (cached or record) if record is not None else None
        if follows and known is not None and known.manifest_digest != update.manifest_digest:
            try:
                staging.record_cached_update(system.sysroot.repo(), deployment.checksum, update)
            except NoSpaceError as e:  # not worth failing: what needs the room will say so
                system.progress.note(e.message)


def pull(system: System, source: OpenedImage, image: SignedImageReference) -> str:
    """Import the opened image and return its commit.

    Raises:
        NoSpaceError: it does not fit; what is sure not to is not fetched.
    """

    def foresee_boot(download: Download) -> None:
        warning = foresee_boot_room(
            download, boot_space(system), other_kernel=_has_other_kernel(system, source)
        )
        if warning:
            system.progress.note(warning)

    commit = importer.pull(
        REPO,
        source,
        record_as=image.image,
        progress=system.progress,
        signature=image.signature,
        before_fetch=foresee_boot,
    )
    note_accepted(system.sysroot.repo(), commit, source)
    return commit


def boot_space(system: System) -> BootSpace:
    """Return the room for the kernel of a deployment that is to be the next to boot."""
    kept: list[Deployment] = [
        each
        for each in system.state.deployments
        if each.booted or each.pinned or each.stateroot != system.booted.stateroot
    ]
    names = {(each.stateroot, each.checksum, each.serial) for each in kept}
    return space.read_boot_space(
        system.sysroot.require_booted_deployment(),
        [
            each
            for each in system.sysroot.get_deployments()
            if (each.get_osname(), each.get_csum(), each.get_deployserial()) in names
        ],
    )


def _has_other_kernel(system: System, source: OpenedImage) -> bool | None:
    """Tell by its label whether the image has another kernel than what runs."""
    version = source.config.labels.get(LABEL_KERNEL)
    if version is None:
        return None
    return version not in kernel_versions(CommitTree(REPO, system.booted.checksum))


def carry_out(system: System, decision: Decision) -> Outcome:
    """Do what was decided, but for `Stage`, which needs an image; see `verbs.stage`.

    Raises:
        DeploymentError: a soft reboot was required and is not possible.
        ImageUnavailableError: what is to be released met less than policy.json demands now.
        BootcpyError: libostree fails.
    """
    soft_reboot.require_target(decision, system.state.staged)
    match decision.action:
        case Keep():
            forget_overtaken(system.state)
        case SetLock(locked):
            if not locked:
                _require_staged_accepted(system)
            staging.set_lock(locked=locked)
            note_staged()
            if locked or system.state.staged is None:
                notice.reboot_not_required()
            else:
                notice.reboot_required(f"image: {digest_of(system.state.staged)}")
            notice.status_changed()
        case Reorder(order):
            staging.write_order(system.sysroot, order)
            note_staged()
            if order[0].booted:  # unlike bootc, which asks for a reboot into what runs
                notice.reboot_not_required()
            else:
                notice.reboot_required(f"image: {digest_of(order[0])}")
            notice.status_changed()
        case Stage():
            raise AssertionError("staging needs an image")
    return finish(decision, decision.messages)


def _require_staged_accepted(system: System) -> None:
    staged = system.state.staged
    if staged is not None and staged.image is not None and staged.origin.image is not None:
        require_accepted(system.sysroot.repo(), staged.checksum, staged.origin.image.image)


def finish(decision: Decision, lines: tuple[str, ...]) -> Outcome:
    """Prepare the soft reboot that was asked for, and return the outcome.

    Raises:
        DeploymentError: it was required and is not possible.
    """
    return Outcome(lines=(*lines, *soft_reboot.prepare(decision)), reboot=decision.reboot)


def digest_of(deployment: Deployment) -> str:
    """Name what a deployment holds: the image's digest, else the ostree commit."""
    return deployment.image.manifest_digest if deployment.image else deployment.checksum


def reboot_now() -> None:
    """Reboot; never returns, so that no exit status claims more than is known."""
    systemd.reboot()
    while True:
        time.sleep(1)  # not pause(): the signal that ends us may arrive at another thread
