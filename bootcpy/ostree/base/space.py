"""What the checks of `bootcpy.model.host.space` need to know of the repository and of /boot."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from bootcpy import paths
from bootcpy.model.host.space import BootSpace, RepoSpace, require_boot_room
from bootcpy.ostree.base.bindings import OSTree
from bootcpy.ostree.base.commit_tree import CommitTree
from bootcpy.ostree.base.repo import explained

_BOOT = Path("/boot")
_BOOT_FILES = ("vmlinuz", "initramfs.img")
_READ_BYTES = 1 << 20


def read_repo_space(repo: OSTree.Repo, path: Path) -> RepoSpace:
    """Return the room there is for the repository at `path`, as libostree counts it for root.

    Raises:
        BootcpyError: the repository's `min-free-space-*` cannot be read.
    """
    with explained(f"the configuration of the repository {path} cannot be read"):
        _, reserved_bytes = repo.get_min_free_space_bytes()
    return RepoSpace(path=str(path), free_bytes=_free(path), reserved_bytes=reserved_bytes)


def read_boot_space(booted: OSTree.Deployment, kept: Sequence[OSTree.Deployment]) -> BootSpace:
    """Return the room there is in /boot, where `kept` are the deployments that stay."""
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


def kernel_versions(tree: CommitTree) -> tuple[str, ...]:
    """Return the versions of the kernels in a commit."""
    return tuple(
        version
        for version in tree.names(paths.MODULES)
        if tree.content(paths.MODULES / version / _BOOT_FILES[0]) is not None
    )


def require_room_for_kernel(tree: CommitTree, space: BootSpace) -> None:
    """Refuse a commit whose kernel and initramfs will not fit into /boot at shutdown.

    What is in /boot already, as when only other packages were updated, needs no room.

    Raises:
        NoSpaceError: with both numbers.
    """
    files = [
        content
        for version in kernel_versions(tree)
        for name in _BOOT_FILES
        if (content := tree.content(paths.MODULES / version / name)) is not None
    ]
    needed_bytes = sum(file.stat().st_size for file in files)
    # Only where it matters is it worth reading them: libostree names the directory by both.
    if needed_bytes > space.available_bytes and not _is_there(files, space):
        require_boot_room(needed_bytes, space)


def _is_there(files: Sequence[Path], space: BootSpace) -> bool:
    checksum = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                checksum.update(block)
    return any(name.endswith(f"-{checksum.hexdigest()}") for name in space.kernels)


def _directory(deployment: OSTree.Deployment) -> str:
    """Return the directory below /boot/ostree that a deployment boots from."""
    return f"{deployment.get_osname()}-{deployment.get_bootcsum()}"


def _free(path: Path) -> int:
    """Return what root may write: also what is held back for it."""
    found = os.statvfs(path)
    return found.f_bfree * found.f_frsize
