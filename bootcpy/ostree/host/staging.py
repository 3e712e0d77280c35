"""Changing what boots next: staging a commit, holding it back, reordering, soft reboot."""

from collections.abc import Sequence

from bootcpy.errors import DeploymentError, NoSpaceError
from bootcpy.model.boot.cmdline import split_kargs
from bootcpy.model.boot.owned_kargs import KEY_PREFIX, OwnedKargs
from bootcpy.model.host.deployments import Deployment, ImageRecord
from bootcpy.model.image.reference import SignedImageReference
from bootcpy.ostree.base.bindings import GLib, OSTree
from bootcpy.ostree.base.detached import write_detached
from bootcpy.ostree.base.repo import explained
from bootcpy.ostree.host.booted import open_sysroot
from bootcpy.ostree.host.deployments import STAGED_LOCK
from bootcpy.ostree.host.soft_reboot import forget as forget_soft_reboot
from bootcpy.ostree.host.staging_locked import require_locks, stage_locked
from bootcpy.ostree.host.sysroot import menu_generator
from bootcpy.ostree.image.metadata import CACHED_CONFIG, CACHED_DIGEST, CACHED_MANIFEST


def read_kargs(deployment: OSTree.Deployment) -> tuple[str, ...]:
    """Return the kernel arguments of `deployment`'s boot entry, without `ostree=`."""
    config = deployment.get_bootconfig()
    options = config.get("options") if config else None
    return tuple(param for param in split_kargs(options or "") if not param.startswith("ostree="))


def stage(
    sysroot: OSTree.Sysroot,
    commit: str,
    *,
    origin: SignedImageReference,
    kargs: OwnedKargs,
    locked: bool,
) -> None:
    """Stage `commit` to follow `origin`, with /etc to be merged from the booted deployment.

    What was staged before is gone. `locked` holds the deployment back from the next boot,
    from the first moment on: also if the process or the machine ends before this returns.

    Raises:
        NoSpaceError: the file system is full.
        BootcpyError: libostree fails for another reason.
    """
    origin_file = GLib.KeyFile()
    origin_file.set_string("origin", "container-image-reference", str(origin))
    _stage(sysroot, commit, origin_file, kargs, locked=locked)


def restage(sysroot: OSTree.Sysroot, deployment: Deployment, kargs: OwnedKargs) -> None:
    """Stage what the booted or staged `deployment` is once more, with other kernel arguments.

    If it was held back from the next boot, it still is.

    Raises:
        NoSpaceError, BootcpyError: as `stage`.
    """
    origin = find(sysroot, deployment).get_origin() or GLib.KeyFile()
    OSTree.Deployment.origin_remove_transient_state(origin)
    _stage(sysroot, deployment.checksum, origin, kargs, locked=deployment.finalization_locked)


def find(sysroot: OSTree.Sysroot, deployment: Deployment) -> OSTree.Deployment:
    """Return libostree's object for a deployment of the loaded `sysroot`."""
    name = (deployment.stateroot, deployment.checksum, deployment.serial)
    return next(each for each in sysroot.get_deployments() if _name(each) == name)


def _name(deployment: OSTree.Deployment) -> tuple[str, str, int]:
    return deployment.get_osname(), deployment.get_csum(), deployment.get_deployserial()


def _stage(
    sysroot: OSTree.Sysroot,
    commit: str,
    origin: GLib.KeyFile,
    kargs: OwnedKargs,
    *,
    locked: bool,
) -> None:
    forget_soft_reboot(sysroot)
    stateroot = sysroot.require_booted_deployment().get_osname()
    merge = sysroot.get_merge_deployment(stateroot)
    config = merge.get_bootconfig() if merge else None
    if config is not None:
        # From here libostree takes keys that it does not know for the new entry.
        for source, owned in kargs.sources.items():
            config.set(f"{KEY_PREFIX}{source}", owned)
    try:
        with explained(f"cannot stage {commit}"):
            if locked:
                stage_locked(sysroot, stateroot, commit, origin, merge, kargs.kargs)
            else:
                sysroot.stage_tree(stateroot, commit, origin, merge, list(kargs.kargs), None)
    except NoSpaceError:
        with explained("cannot remove the incomplete deployment"):
            open_sysroot().prepare_cleanup(None)
        raise
    STAGED_LOCK.unlink(missing_ok=True)  # of another program, for what is gone


def set_lock(*, locked: bool) -> None:
    """Hold the staged deployment back from the next boot, or release it.

    Raises:
        BootcpyError: libostree fails.
        DeploymentError: nothing is staged.
    """
    sysroot = open_sysroot()
    staged = sysroot.get_staged_deployment()
    if staged is None:
        raise DeploymentError("No staged deployment found", hint="run `bootc upgrade` first")
    require_locks(sysroot)
    if locked:
        forget_soft_reboot(sysroot)
    if staged.is_finalization_locked() is not locked:  # type: ignore[attr-defined]  # as above
        with explained("cannot change the staged deployment"):
            sysroot.change_finalization(staged)  # type: ignore[attr-defined]  # as above
    STAGED_LOCK.unlink(missing_ok=True)  # of a program that knows no other way


def discard_staged() -> None:
    """Discard what is staged, if anything is; the boot order stays.

    Raises:
        BootcpyError: libostree fails.
    """
    sysroot = open_sysroot()
    if sysroot.get_staged_deployment() is None:
        return
    forget_soft_reboot(sysroot)
    kept = [each for each in sysroot.get_deployments() if not each.is_staged()]
    with menu_generator(), explained("cannot discard the staged deployment"):
        sysroot.write_deployments(kept, None)


def write_order(sysroot: OSTree.Sysroot, order: Sequence[Deployment]) -> None:
    """Write the boot order; what is not in it, such as a staged deployment, is discarded.

    Raises:
        BootcpyError: libostree fails.
    """
    forget_soft_reboot(sysroot)
    deployments = [find(sysroot, each) for each in order]
    with menu_generator(), explained("cannot write the boot order"):
        sysroot.write_deployments(deployments, None)


def record_cached_update(repo: OSTree.Repo, commit: str, update: ImageRecord) -> None:
    """Note on `commit` which update was seen; it shows in the status as `cachedUpdate`.

    Raises:
        BootcpyError: libostree fails.
    """
    values = {
        CACHED_DIGEST: update.manifest_digest,
        CACHED_MANIFEST: update.manifest_text,
        CACHED_CONFIG: update.config_text or "null",
    }
    write_detached(repo, commit, values)


def drop_refspec(repo: OSTree.Repo, refspec: str) -> None:
    """Delete the ref a plain ostree system followed; its deployments keep their commits.

    Raises:
        BootcpyError: libostree fails.
    """
    remote, _, ref = refspec.rpartition(":")
    with explained(f"cannot delete the ref {refspec}"):
        repo.set_ref_immediate(remote or None, ref, None, None)
