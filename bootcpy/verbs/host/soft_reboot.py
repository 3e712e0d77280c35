"""What `--soft-reboot` of upgrade, switch and rollback does, and when it refuses."""

from collections.abc import Sequence

from bootcpy import paths
from bootcpy.errors import BootcpyError, DeploymentError
from bootcpy.model.boot.bootable import prepare_root_conf, requires_composefs
from bootcpy.model.boot.kernels import boot_checksum
from bootcpy.model.boot.soft_reboot import KernelState, find_obstacle
from bootcpy.model.host.decisions import Adjust, Decision, Reorder, Stage
from bootcpy.model.host.deployments import Deployment
from bootcpy.model.host.options import SoftReboot
from bootcpy.ostree.base.commit_tree import CommitTree
from bootcpy.ostree.host.locked import OstreeHost, reopened

_OTHERWISE = "use --soft-reboot=auto, or leave it out"


def require_possible(ostree: OstreeHost, wanted: SoftReboot | None) -> None:
    """Refuse `--soft-reboot=required` where the running system can do none at all.

    Raises:
        DeploymentError: saying what it lacks.
    """
    lack = ostree.find_soft_reboot_lack() if wanted is SoftReboot.REQUIRED else None
    if lack is not None:
        raise DeploymentError(lack, hint=_OTHERWISE)


def require_target(decision: Adjust, staged: Deployment | None) -> None:
    """Refuse a decision that requires a soft reboot into what no soft reboot can enter.

    Raises:
        DeploymentError: before anything is changed.
    """
    if decision.soft_reboot is SoftReboot.REQUIRED:
        target = decision.action.order[0] if isinstance(decision.action, Reorder) else staged
        if target is None or not target.soft_reboot_capable:
            raise _incapable(decision, hint=_OTHERWISE)


def require_no_obstacle(
    ostree: OstreeHost, stage: Stage, tree: CommitTree, kargs: Sequence[str]
) -> None:
    """Refuse to stage `tree` with `kargs` where a soft reboot is required and cannot enter it.

    Raises:
        DeploymentError: saying what is in the way.
    """
    if stage.soft_reboot is not SoftReboot.REQUIRED:
        return
    config = prepare_root_conf(tree, bases=(*tree.etc, paths.USR_LIB))
    target = KernelState(
        boot_files=boot_checksum(tree),
        kargs=kargs,
        composefs=requires_composefs(config or ""),
    )
    obstacle = find_obstacle(ostree.read_booted_kernel(), target)
    if obstacle is not None:
        raise _incapable(stage, obstacle, hint=f"nothing was staged; {_OTHERWISE}")


def prepare(decision: Decision) -> tuple[str, ...]:
    """Have the next reboot be a soft one, if the decision asks for it; return what to print.

    Raises:
        DeploymentError: it was required and is not possible.
        BootcpyError: it was required, and preparing it fails.
    """
    if decision.soft_reboot is None:
        return ()
    ostree = reopened()
    state = ostree.read_state()
    target = state.deployments[0] if _is_reordering(decision) else state.staged
    if target is None or not target.soft_reboot_capable:
        if decision.soft_reboot is SoftReboot.REQUIRED:
            raise _incapable(decision, hint="it takes effect at the next normal reboot")
        return ()
    try:
        ostree.prepare_soft_reboot(target)
    except BootcpyError as e:
        if decision.soft_reboot is SoftReboot.REQUIRED:
            raise
        return (f"{e.message}; the next reboot is a normal one",)
    return (f"{_name(decision)} deployment is soft-reboot capable, preparing for soft-reboot...",)


def _incapable(decision: Decision, why: str | None = None, *, hint: str) -> DeploymentError:
    reason = "" if why is None else f": {why}"
    return DeploymentError(
        f"Soft reboot was required but {_name(decision).lower()} deployment is not "
        f"soft-reboot capable{reason}",
        hint=hint,
    )


def _name(decision: Decision) -> str:
    return "Rollback" if _is_reordering(decision) else "Staged"


def _is_reordering(decision: Decision) -> bool:
    return isinstance(decision, Adjust) and isinstance(decision.action, Reorder)
