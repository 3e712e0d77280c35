"""What commands ask of libostree while they hold the lock of the booted system.

Nothing here takes or returns an object of the bindings: above this, deployments are facts
(`bootcpy.model.host.deployments`), and commits are checksums.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bootcpy import paths
from bootcpy.model.base.progress import Progress
from bootcpy.model.boot.owned_kargs import OwnedKargs
from bootcpy.model.boot.soft_reboot import KernelState
from bootcpy.model.host.deployments import BootState, Deployment, ImageCommit, ImageRecord
from bootcpy.model.host.space import BootSpace
from bootcpy.model.image.reference import ImageReference, SignedImageReference
from bootcpy.ostree.base import space
from bootcpy.ostree.base.bindings import GLib, OSTree
from bootcpy.ostree.base.repo import explained
from bootcpy.ostree.host import deployments, etc_check, owned_kargs, soft_reboot, staging
from bootcpy.ostree.host.booted import UNREADABLE, locked_system, open_sysroot
from bootcpy.ostree.image import sepolicy
from bootcpy.ostree.image.recheck import Rechecked, recheck
from bootcpy.ostree.image.refs import find_image_commit
from bootcpy.ostree.image.verified import find_image


class OstreeHost:
    """The deployments of the booted system as they were when this was opened, and its repository.

    libostree's errors are `BootcpyError`, or a kind of it, in every method.
    """

    def __init__(self, sysroot: OSTree.Sysroot) -> None:
        self._sysroot = sysroot

    def read_state(self) -> BootState:
        """Return the facts about all deployments."""
        with explained(UNREADABLE):
            return deployments.boot_state(self._sysroot)

    def list_deployment_roots(self) -> tuple[Path, ...]:
        """Return the root directory of each deployment, in boot order."""
        return tuple(
            paths.SYSROOT / self._sysroot.get_deployment_dirpath(each)
            for each in self._sysroot.get_deployments()
        )

    def read_setting(self, group: str, key: str) -> str:
        """Return a setting of the repository as it is written there; "" if it is not."""
        try:
            return self._sysroot.repo().get_config().get_string(group, key)
        except GLib.Error:
            return ""

    def stage(
        self, commit: str, *, origin: SignedImageReference, kargs: OwnedKargs, locked: bool
    ) -> None:
        """Stage `commit` to follow `origin`; see `staging.stage`."""
        staging.stage(self._sysroot, commit, origin=origin, kargs=kargs, locked=locked)

    def restage(self, deployment: Deployment, kargs: OwnedKargs) -> None:
        """Stage `deployment` once more, with other kernel arguments; see `staging.restage`."""
        staging.restage(self._sysroot, deployment, kargs)

    def write_order(self, order: Sequence[Deployment]) -> None:
        """Write the boot order; what is not in it, such as a staged deployment, is discarded."""
        staging.write_order(self._sysroot, order)

    def record_cached_update(self, deployment: Deployment, update: ImageRecord) -> None:
        """Note on a deployment's commit which update was seen."""
        staging.record_cached_update(self._sysroot.repo(), deployment.checksum, update)

    def drop_refspec(self, refspec: str) -> None:
        """Delete the ref a plain ostree system followed; its deployments keep their commits."""
        staging.drop_refspec(self._sysroot.repo(), refspec)

    def read_boot_space(self, kept: Sequence[Deployment]) -> BootSpace:
        """Return the free space there is in /boot, where `kept` are the deployments that stay."""
        return space.read_boot_space(
            self._sysroot.require_booted_deployment(),
            [staging.find(self._sysroot, each) for each in kept],
        )

    def read_owned_kargs(self, deployment: Deployment) -> OwnedKargs:
        """Return the kernel arguments a booted or staged deployment boots with, and their owners.

        See `owned_kargs.read_owned_kargs`.
        """
        return owned_kargs.read_owned_kargs(self._sysroot, staging.find(self._sysroot, deployment))

    def require_owned_kargs_support(self) -> None:
        """Refuse where libostree loses track of who owns what."""
        owned_kargs.require_support(self._sysroot)

    def require_mergeable_etc(self, commit: str) -> tuple[str, ...]:
        """Refuse `commit` if /etc cannot be merged into its own; return what gets lost.

        Raises:
            DeploymentError: naming every path that is in the way.
        """
        return etc_check.require_mergeable_etc(self._sysroot, commit)

    def require_own_policy(self, commit: str) -> None:
        """Refuse `commit` if it is not labelled by its own SELinux policy.

        Raises:
            ImageContentError: it is not.
        """
        sepolicy.require_own_policy_of_commit(self._sysroot.repo(), commit)

    def find_downloaded(self, image: ImageReference) -> ImageCommit | None:
        """Return the version of `image` that is here and was checked by this program.

        What another program downloaded has to be fetched, and so checked, by this one.
        """
        repo = self._sysroot.repo()
        named = find_image_commit(repo, image)
        stored = None if named is None else deployments.read_image(repo, named)
        commit = None if stored is None else find_image(repo, image, stored.manifest_digest)
        record = None if commit is None else deployments.read_image(repo, commit)
        if commit is None or record is None:
            return None
        return ImageCommit(commit=commit, record=record)

    def recheck(self, commit: str) -> Rechecked | None:
        """Merge the layers of an image's commit once more and compare; see `recheck.recheck`."""
        return recheck(self._sysroot.repo(), paths.SYSROOT / paths.REPO, commit)

    def find_soft_reboot_lack(self) -> str | None:
        """Return what the running system lacks for any soft reboot; None if it lacks nothing."""
        return soft_reboot.find_lack(self._sysroot)

    def read_booted_kernel(self) -> KernelState:
        """Return what a soft reboot goes on with, on a system that has a root on composefs."""
        booted = self._sysroot.require_booted_deployment()
        return KernelState(
            boot_files=booted.get_bootcsum(), kargs=staging.read_kargs(booted), composefs=True
        )

    def prepare_soft_reboot(self, deployment: Deployment) -> None:
        """Have the next reboot be a soft one, into `deployment`."""
        soft_reboot.prepare(self._sysroot, staging.find(self._sysroot, deployment))


@contextmanager
def locked_host(progress: Progress) -> Generator[OstreeHost]:
    """Hold the lock of the booted system, and yield it; see `booted.locked_system`.

    Raises:
        BootcpyError: the deployments cannot be read, or a mount namespace cannot be had.
    """
    with locked_system(progress) as sysroot:
        yield OstreeHost(sysroot)


def reopened() -> OstreeHost:
    """Return the locked system as it is now; what was opened before does not notice changes.

    Raises:
        BootcpyError: the deployments cannot be read.
    """
    return OstreeHost(open_sysroot())
