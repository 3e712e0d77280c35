"""`bootc rollback`: boot what ran before, or take that back."""

from bootcpy.model.base.progress import Progress
from bootcpy.model.host.decisions import Adjust, Reorder, decide_rollback
from bootcpy.model.host.options import SoftReboot
from bootcpy.system.host import systemd
from bootcpy.verbs.host.change import Outcome, System, carry_out, changing, digest_of
from bootcpy.verbs.host.soft_reboot import require_possible


def rollback(
    progress: Progress, *, apply: bool = False, soft_reboot: SoftReboot | None = None
) -> Outcome:
    """Make the rollback the next boot, or the booted deployment if the rollback is queued.

    Raises:
        DeploymentError: there is no rollback, or the system cannot be changed.
    """
    with changing(progress) as system:
        require_possible(system.ostree, soft_reboot)
        return reorder(system, decide_rollback(system.state, apply=apply, soft_reboot=soft_reboot))


def reorder(system: System, decision: Adjust) -> Outcome:
    """Carry out a decision about the boot order, and tell the journal."""
    outcome = carry_out(system, decision)
    if isinstance(decision.action, Reorder):
        first = decision.action.order[0]
        kind = "revert" if first.booted else "rollback"
        systemd.journal(
            f"{kind.capitalize()}: next boot is {digest_of(first)}",
            systemd.MESSAGE_ROLLBACK,
            {
                "bootc.manifest_digest": digest_of(first),
                "bootc.ostree_commit": first.checksum,
                "bootc.rollback_type": kind,
                "bootc.current_manifest_digest": digest_of(system.booted),
            },
        )
    return outcome
