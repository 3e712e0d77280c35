"""`bootc switch`: follow another image."""

from pathlib import Path

from bootcpy import paths
from bootcpy.errors import BootcpyError, DeploymentError
from bootcpy.model.base.progress import Progress
from bootcpy.model.host.decisions import Stage, choose_stateroot, decide_switch, display
from bootcpy.model.host.options import SoftReboot
from bootcpy.model.host.origin import render_origin
from bootcpy.model.image.reference import SignedImageReference
from bootcpy.ostree.host import deployments
from bootcpy.system.files import durable
from bootcpy.verbs.host.change import Outcome, System, changing
from bootcpy.verbs.host.fetch import fetch, with_bootable_image
from bootcpy.verbs.host.rollback import reorder
from bootcpy.verbs.host.soft_reboot import require_possible
from bootcpy.verbs.host.stage import stage_commit


def switch(
    target: SignedImageReference,
    progress: Progress,
    *,
    apply: bool = False,
    soft_reboot: SoftReboot | None = None,
    retain: bool = False,
) -> Outcome:
    """Follow `target` from the next boot on.

    Without `retain` the ref that a plain ostree system followed is dropped, so that its
    commit goes with its deployment.

    Raises:
        DeploymentError: the system cannot be changed.
        ImageError: the image cannot be fetched, or cannot boot here; nothing is staged.
        NoSpaceError: there is not enough space; nothing is staged.
    """
    with changing(progress) as system:
        require_possible(system.ostree, soft_reboot)
        decision = decide_switch(system.state, target, apply=apply, soft_reboot=soft_reboot)
        if isinstance(decision, Stage):
            return fetch_and_stage(system, decision, retain=retain)
        return reorder(system, decision)


def fetch_and_stage(system: System, stage: Stage, *, retain: bool = False) -> Outcome:
    """Import the image that `stage` follows, and stage it."""
    stored = with_bootable_image(
        stage.image, system.progress, lambda source: fetch(system, stage.image, source)
    )
    outcome = stage_commit(system, stage, stored)
    if not retain and system.booted.origin.refspec is not None:
        # Last, as what was refused must leave everything as it was. The commit stays in any
        # case, for as long as it is deployed.
        system.ostree.drop_refspec(system.booted.origin.refspec)
    return outcome


def switch_in_place(target: SignedImageReference) -> Outcome:
    """Let the newest deployment follow `target`; nothing is fetched or staged.

    For installers, before the first boot: no lock is taken and nothing need be booted.

    Raises:
        DeploymentError: there is no deployment, or the stateroot that is meant is not known.
        BootcpyError: the origin cannot be written.
    """
    newest = max(_read_deployment_directories(), key=lambda each: each.stat().st_mtime_ns)
    origin = newest.with_name(f"{newest.name}.origin")
    try:
        durable.write_text(origin, render_origin(target))
    except OSError as e:
        raise BootcpyError(
            f"cannot write {origin}: {e.strerror}",
            hint=f"run it as root, where {paths.SYSROOT} is writable",
        ) from e
    return Outcome(lines=(f"Updated {newest.name} to pull from {display(target)}",))


def _read_deployment_directories() -> tuple[Path, ...]:
    """Return the directories of the deployments of the stateroot that is meant, at least one.

    Raises:
        DeploymentError: see `choose_stateroot`.
    """
    found: dict[str, list[Path]] = {}
    for each in (paths.SYSROOT / "ostree/deploy").glob("*/deploy/*"):
        if each.is_dir():
            found.setdefault(each.parents[1].name, []).append(each)
    # Only where it matters: an installer may see the files of a system that it does not mean.
    booted = _find_booted_stateroot() if len(found) > 1 else None
    return tuple(found[choose_stateroot(sorted(found), booted)])


def _find_booted_stateroot() -> str | None:
    """Return the stateroot of the deployment that runs; None if that is none of these."""
    if not paths.OSTREE_BOOTED.exists():
        return None
    try:
        booted = deployments.read_boot_state().booted
    except DeploymentError:  # of another system, which an installer was booted from
        return None
    return None if booted is None else booted.stateroot
