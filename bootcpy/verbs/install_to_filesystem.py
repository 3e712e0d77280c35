"""From a mounted, empty root to a bootable system: import, deploy, configure, boot loader."""

import os
from pathlib import Path

from bootcpy import paths
from bootcpy.model.aleph import aleph_text
from bootcpy.model.bootable import require_bootable_tree
from bootcpy.model.install import require_no_bound_images
from bootcpy.model.kargs import merge_for_install, parse_kargs_d
from bootcpy.model.plan import DeployPlan
from bootcpy.model.progress import Progress
from bootcpy.model.tmpfiles import root_ssh_tmpfiles
from bootcpy.ostree import commit_tree, importer, sysroot
from bootcpy.system import bootloader, durable
from bootcpy.system.mount import TargetTree
from bootcpy.system.skopeo import OpenedImage

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
        record_as=plan.target.image,
        progress=progress,
        signature=plan.target.signature,
        fsync=False,
    )
    kargs = _read_commit(repo_path, commit, plan)
    with progress.step("Deploying"):
        deployment = sysroot.deploy(
            target.root, commit, stateroot=plan.stateroot, origin=plan.target, kargs=kargs
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
    tree = commit_tree.CommitTree(repo_path, commit)
    require_bootable_tree(
        commit_tree.boot_facts_of(tree), composefs_supported=sysroot.supports_composefs()
    )
    require_no_bound_images(tree.names(paths.BOUND_IMAGES_D), skip=plan.skip_bound_images)
    image_kargs = parse_kargs_d(commit_tree.read_kargs_d(tree), plan.machine)
    return merge_for_install(plan.kargs, image_kargs)


def _configure(deployment: Path, plan: DeployPlan, progress: Progress) -> None:
    """Write what is this machine's own into the deployment's /etc."""
    if plan.boot_fstab is not None:
        durable.write_text(deployment / _FSTAB, plan.boot_fstab.rstrip("\n") + "\n")
    if plan.root_ssh_authorized_keys is not None:
        file = deployment / _ROOT_SSH
        file.parent.mkdir(exist_ok=True)
        home = root_home(deployment)
        durable.write_text(file, root_ssh_tmpfiles(plan.root_ssh_authorized_keys, home=home))
        progress.note(f"Injected: {_ROOT_SSH}")


def root_home(deployment: Path) -> str:
    """Return where root's home is, without a leading slash: the target of a link /root."""
    link = deployment / "root"
    return str(link.readlink()).lstrip("/") if link.is_symlink() else "root"
