"""The physical root of an ostree system: making one, configuring it, deploying onto it."""

import logging
import os
import shlex
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import bootcpy
from bootcpy import paths
from bootcpy.errors import DeploymentError
from bootcpy.model.boot.loader import Bootloader
from bootcpy.model.image.reference import SignedImageReference
from bootcpy.ostree.base.bindings import Gio, GLib, OSTree
from bootcpy.ostree.base.repo import explained, open_repo
from bootcpy.system.process.run import run

log = logging.getLogger(__name__)

_GENERATOR_VARIABLE = "OSTREE_GRUB2_EXEC"  # libostree: the program to run for grub-mkconfig


def initialize(
    root: Path, *, bootloader: Bootloader, bls_append_except_default: str | None = None
) -> None:
    """Make the file system mounted at `root` a physical root, with an empty repository.

    As bootc's install (initialize_ostree_root): the modern layout, kernels addressed with
    /boot in front, /sysroot read-only. Unlike bootc, which leaves the menu to bootupd's
    static configuration, libostree is told to have a GRUB menu made for every change; it
    takes a link at boot/grub/grub.cfg, though it dangles yet, for the sign of that.

    Raises:
        ToolFailedError: `ostree` cannot make the layout.
        BootcpyError: the repository cannot be configured.
    """
    repo_path = root / paths.REPO
    if not repo_path.exists():
        run("ostree", "admin", "init-fs", "--modern", root)
    settings = {
        "bootloader": "grub2" if bootloader is Bootloader.GRUB else "none",
        "bootprefix": "true",
        "readonly": "true",
    }
    if bls_append_except_default is not None:
        settings["bls-append-except-default"] = bls_append_except_default
    repo = open_repo(repo_path)
    config = repo.copy_config()
    for key, value in settings.items():
        config.set_string("sysroot", key, value)
    with explained(f"cannot configure the repository {repo_path}"):
        repo.write_config(config)
    if bootloader is Bootloader.GRUB:
        link = root / paths.GRUB_MENU_LINK
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to("../loader/grub.cfg")


@contextmanager
def locked(root: Path) -> Generator[OSTree.Sysroot]:
    """Hold the lock of the physical root `root`, and yield its deployments as they are now.

    Raises:
        DeploymentError: another process holds the lock, or the deployments cannot be read.
    """
    sysroot = OSTree.Sysroot.new(Gio.File.new_for_path(str(root)))
    with explained(f"the deployments of {root} cannot be read"):
        sysroot.load(None)
        _, acquired = sysroot.try_lock()
    if not acquired:
        raise DeploymentError(
            f"{root} is locked by another program that changes its deployments",
            hint="wait for it to finish",
        )
    try:
        yield sysroot
    finally:
        sysroot.unlock()


def deploy(
    root: Path,
    commit: str,
    *,
    stateroot: str,
    origin: SignedImageReference,
    kargs: Sequence[str],
) -> Path:
    """Deploy `commit` as the default of the physical root `root`; return the deployment's path.

    The stateroot is made if it is new. `kargs` is the whole kernel command line but for
    `ostree=`, which libostree adds. The boot entry, and the menu where there is one, are
    written and durable when this returns. The deployment's root directory is immutable
    (chattr +i); what it holds is not.

    Raises:
        DeploymentError: another program holds the lock.
        NoSpaceError: the file system is full.
        BootcpyError: libostree fails for another reason.
    """
    origin_file = GLib.KeyFile()
    origin_file.set_string("origin", "container-image-reference", str(origin))
    with locked(root) as sysroot, menu_generator():
        if not (root / "ostree/deploy" / stateroot).exists():
            with explained(f"cannot make the stateroot {stateroot}"):
                sysroot.init_osname(stateroot, None)
        merge = sysroot.get_merge_deployment(stateroot)
        with explained(f"cannot deploy {commit}"):
            _, deployment = sysroot.deploy_tree(
                stateroot, commit, origin_file, merge, list(kargs), None
            )
            sysroot.simple_write_deployment(
                stateroot, deployment, merge, OSTree.SysrootSimpleWriteDeploymentFlags.NONE, None
            )
        return root / sysroot.get_deployment_dirpath(deployment)


@contextmanager
def menu_generator() -> Generator[None]:
    """Have libostree, in this process, make GRUB menus with our generator, for as long.

    That is the image's own program where it exists, else this very source tree.
    """
    previous = os.environ.get(_GENERATOR_VARIABLE)
    with tempfile.TemporaryDirectory(prefix="bootcpy-menu-") as directory:
        program = Path("/") / paths.GRUB_MENU_GENERATOR
        if not os.access(program, os.X_OK):
            program = Path(directory, "grub-menu")
            source = Path(bootcpy.__file__).parents[1]
            program.write_text(
                f"#!/bin/sh\nexport PYTHONPATH={shlex.quote(str(source))}\n"
                f'exec {shlex.quote(sys.executable)} -m bootcpy.grub_menu "$@"\n',
                encoding="utf-8",
            )
            program.chmod(0o755)
        os.environ[_GENERATOR_VARIABLE] = str(program)
        try:
            yield
        finally:
            if previous is None:
                del os.environ[_GENERATOR_VARIABLE]
            else:
                os.environ[_GENERATOR_VARIABLE] = previous


def supports_composefs() -> bool:
    """Tell whether this libostree was built with composefs."""
    return "- composefs" in run("ostree", "--version")
