"""What upgrade, switch, rollback and edit share: rights, the lock, carrying out.

A verb opens the system with `changing()`, decides with `bootcpy.model.host.decisions`, and hands
the decision to `carry_out()`. Nothing is printed here: the outcome holds the lines.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from bootcpy import paths
from bootcpy.model.base.progress import Progress
from bootcpy.model.host.decisions import (
    Adjust,
    Decision,
    Keep,
    Reorder,
    SetLock,
    require_changeable,
)
from bootcpy.model.host.deployments import BootState, Deployment
from bootcpy.ostree.host import deployments, staging
from bootcpy.ostree.host.locked import OstreeHost, locked_host
from bootcpy.system.host import notice, systemd
from bootcpy.verbs.base.acceptance import require_accepted
from bootcpy.verbs.base.rights import require_rights
from bootcpy.verbs.boot.boot_check import forget_overtaken, note_staged
from bootcpy.verbs.host import soft_reboot

REPO = paths.SYSROOT / paths.REPO


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a command ended: the lines for stdout, and whether the system is to reboot now."""

    lines: tuple[str, ...] = ()
    reboot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The booted system while this process holds its lock."""

    ostree: OstreeHost
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
    with locked_host(progress) as ostree:
        yield System(ostree=ostree, state=ostree.read_state(), progress=progress)


def carry_out(system: System, decision: Adjust) -> Outcome:
    """Do what was decided about the deployments there are; for `Stage` see `verbs.host.stage`.

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
                notice.withdraw_reboot()
            else:
                notice.ask_for_reboot(f"image: {digest_of(system.state.staged)}")
            notice.announce_change()
        case Reorder(order):
            system.ostree.write_order(order)
            note_staged()
            if order[0].booted:  # unlike bootc, which asks for a reboot into what runs
                notice.withdraw_reboot()
            else:
                notice.ask_for_reboot(f"image: {digest_of(order[0])}")
            notice.announce_change()
    return finish(decision, decision.messages)


def _require_staged_accepted(system: System) -> None:
    staged = system.state.staged
    if staged is not None and staged.image is not None and staged.origin.image is not None:
        require_accepted(REPO, staged.checksum, staged.origin.image.image)


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
