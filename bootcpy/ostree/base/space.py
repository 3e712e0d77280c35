"""What the checks of `bootcpy.model.host.space` need to know of the repository and of /boot."""

import os
from collections.abc import Sequence
from pathlib import Path

from bootcpy import paths
from bootcpy.model.boot.kernels import boot_checksum, boot_size
from bootcpy.model.host.space import BootSpace, RepoSpace, require_boot_space
from bootcpy.ostree.base.bindings import OSTree
from bootcpy.ostree.base.commit_tree import CommitTree
from bootcpy.ostree.base.repo import explained

_BOOT = Path("/boot")


def read_repo_space(repo: OSTree.Repo, path: Path) -> RepoSpace:
    """Return the free space there is for the repository at `path`, as libostree counts it for root.

    Raises:
        BootcpyError: the repository's `min-free-space-*` cannot be read.
    """
    with explained(f"the configuration of the repository {path} cannot be read"):
        _, reserved_bytes = repo.get_min_free_space_bytes()
    return RepoSpace(path=str(path), free_bytes=_free(path), reserved_bytes=reserved_bytes)


def read_boot_space(booted: OSTree.Deployment, kept: Sequence[OSTree.Deployment]) -> BootSpace:
    """Return the free space there is in /boot, where `kept` are the deployments that stay."""
    sizes: dict[str, int] = {}
    block_bytes = os.statvfs(_BOOT).f_frsize
    for file in (_BOOT / "ostree").glob("*-*/*"):
        if file.is_file():
            size_bytes = -(-file.stat().st_size // block_bytes) * block_bytes
            sizes[file.parent.name] = sizes.get(file.parent.name, 0) + size_bytes
    return BootSpace(
        free_bytes=_free(_BOOT),
        kernels=sizes,
        kept={_directory(each) for each in kept},
        running=_directory(booted),
        separate=_BOOT.stat().st_dev != paths.SYSROOT.stat().st_dev,
    )


def require_space_for_kernel(tree: CommitTree, space: BootSpace) -> None:
    """Refuse a commit whose kernel and initramfs will not fit into /boot at shutdown.

    What is in /boot already, as when only other packages were updated, needs no space.

    Raises:
        NoSpaceError: with both numbers.
    """
    needed_bytes = boot_size(tree)
    # Only where it matters is it worth reading them: libostree names the directory by both.
    if needed_bytes > space.available_bytes and not _is_there(boot_checksum(tree), space):
        require_boot_space(needed_bytes, space)


def _is_there(checksum: str | None, space: BootSpace) -> bool:
    return checksum is not None and any(name.endswith(f"-{checksum}") for name in space.kernels)


def _directory(deployment: OSTree.Deployment) -> str:
    """Return the directory below /boot/ostree that a deployment boots from."""
    return f"{deployment.get_osname()}-{deployment.get_bootcsum()}"


def _free(path: Path) -> int:
    """Return what root may write: also what is held back for it."""
    found = os.statvfs(path)
    return found.f_bfree * found.f_frsize
