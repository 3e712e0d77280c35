"""From a mounted, empty root to a bootable system: import, deploy, configure, boot loader."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from bootcpy import paths
from bootcpy.errors import ImageContentError
from bootcpy.model.base.progress import Progress
from bootcpy.model.boot.bootable import require_bootable_tree
from bootcpy.model.boot.kargs import kargs_d, merge_for_install, parse_kargs_d
from bootcpy.model.image.bound import bound_images
from bootcpy.model.install.aleph import aleph_text
from bootcpy.model.install.plan import DeployPlan
from bootcpy.model.install.planning import require_no_bound_images
from bootcpy.model.install.target_tree import TargetTree
from bootcpy.model.install.tmpfiles import root_ssh_tmpfiles
from bootcpy.ostree.base.commit_tree import CommitTree
from bootcpy.ostree.base.repo import open_repo
from bootcpy.ostree.host import sysroot
from bootcpy.ostree.image import importer
from bootcpy.ostree.image.sepolicy import require_own_policy_of_commit
from bootcpy.system.boot import boot_facts, bootloader
from bootcpy.system.files import below, durable
from bootcpy.system.image.skopeo import OpenedImage
from bootcpy.verbs.base.acceptance import note_accepted

_FSTAB = Path("etc/fstab")
_ROOT_SSH = Path("etc/tmpfiles.d/bootc-root-ssh.conf")


def populate(target: TargetTree, plan: DeployPlan, image: OpenedImage, progress: Progress) -> None:
    """Fill the file system mounted at `target.root`, so that the disk boots `image`.

    The root stays mounted and writable; the caller brings it to rest.

    Raises:
        ImageContentError: the image, once it can be looked into, turns out not to boot.
        BootcpyError: in other kinds; the target is then incomplete.
    """
    with progress.step("Making the repository"):
        sysroot.initialize(
            target.root,
            bootloader=plan.bootloader,
            bls_append_except_default=plan.bls_append_except_default,
        )
    repo_path = target.root / paths.REPO
    # Nothing waits for the disk here: the deployment syncs all of it at once.
    commit = importer.pull(
        repo_path,
        image,
        record_as=plan.follows.image,
        progress=progress,
        signature=plan.follows.signature,
        fsync=False,
    )
    note_accepted(repo_path, commit, image)
    kargs = _read_commit(repo_path, commit, plan)
    with progress.step("Deploying"):
        deployment = sysroot.deploy(
            target.root, commit, stateroot=plan.stateroot, origin=plan.follows, kargs=kargs
        )
    _configure(deployment, plan, progress)
    aleph = aleph_text(plan, image.config, kernel=os.uname().release)
    durable.write_text(target.root / paths.ALEPH, aleph)
    (target.root / paths.BOOTC_STATE).mkdir(exist_ok=True)
    bootloader.install(
        target,
        plan.bootloader,
        image_root=deployment,
        machine=plan.machine,
        generic_image=plan.generic_image,
        timestamp_s=plan.source_date_epoch,
        progress=progress,
    )


def _read_commit(repo_path: Path, commit: str, plan: DeployPlan) -> tuple[str, ...]:
    """Return the kernel arguments for `commit`, having made sure that it can be installed.

    Raises:
        ImageContentError: it does not boot.
        BootcpyError: it binds images which nobody said to leave out.
        ConfigurationError: one of its kargs.d files is malformed.
    """
    tree = CommitTree(repo_path, commit)
    require_bootable_tree(boot_facts.read(tree), composefs_supported=sysroot.supports_composefs())
    require_own_policy_of_commit(open_repo(repo_path), commit)
    require_no_bound_images(bound_images(tree), skip=plan.skip_bound_images)
    image_kargs = parse_kargs_d(kargs_d(tree), plan.machine)
    return merge_for_install(plan.kargs, image_kargs)


def _configure(deployment: Path, plan: DeployPlan, progress: Progress) -> None:
    """Write what is this machine's own into the deployment's /etc.

    Raises:
        ImageContentError: what the image has there is in the way.
    """
    if plan.boot_fstab is not None:
        with _in_the_way_explained(_FSTAB):
            below.write_text(deployment, _FSTAB, plan.boot_fstab.rstrip("\n") + "\n")
    if plan.root_ssh_authorized_keys is not None:
        home = root_home(deployment)
        text = root_ssh_tmpfiles(plan.root_ssh_authorized_keys, home=home)
        with _in_the_way_explained(_ROOT_SSH):
            below.make_directory(deployment, _ROOT_SSH.parent)
            below.write_text(deployment, _ROOT_SSH, text)
        progress.note(f"Injected: {_ROOT_SSH}")


@contextmanager
def _in_the_way_explained(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as e:
        if e.errno not in below.IN_THE_WAY:
            raise
        raise ImageContentError(
            f"cannot write /{path}: the image has another file there: {e.strerror}",
            hint=f"make /{path.parent} a directory in the image, not a link",
        ) from e


def root_home(deployment: Path) -> str:
    """Return where root's home is, without a leading slash: the target of a link /root."""
    target = below.link_target(deployment, "root")
    return "root" if target is None else target.strip("/")
