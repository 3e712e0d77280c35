"""The kernels of an image, and what libostree takes of them into /boot."""

import hashlib
import os
from pathlib import Path

from bootcpy import paths
from bootcpy.model.image.tree import FileKind, ImageTree, names, opened_file

KERNEL = "vmlinuz"
INITRAMFS = "initramfs.img"
_MOST_MODULES_DIRECTORIES = 1000
_DEVICE_TREES = ("devicetree", "dtb")
_READ_BYTES = 1 << 20


def kernel_versions(tree: ImageTree) -> tuple[str, ...]:
    """Return each VERSION with a usr/lib/modules/VERSION/vmlinuz.

    Raises:
        ImageContentError: the directories of modules cannot be listed, or are too many.
    """
    return tuple(
        version
        for version in names(tree, paths.MODULES, limit=_MOST_MODULES_DIRECTORIES)
        if tree.kind(paths.MODULES / version / KERNEL) is FileKind.FILE
    )


def boot_size(tree: ImageTree) -> int:
    """Return how many bytes the kernels and their initramfs images have.

    Raises:
        ImageContentError: as `kernel_versions`, or one of them cannot be opened.
    """
    return sum(
        _size(tree, path)
        for version in kernel_versions(tree)
        for path in _boot_files(tree, version)
    )


def boot_checksum(tree: ImageTree) -> str | None:
    """Return what libostree will call the kernel and initramfs of a commit, its `bootcsum`.

    None where there is more to it, such as a device tree, or not one kernel to boot.

    Raises:
        ImageContentError: as `kernel_versions`, or one of them cannot be opened.
        OSError: the disk fails.
    """
    versions = kernel_versions(tree)
    if len(versions) != 1 or any(
        tree.kind(paths.MODULES / versions[0] / name) is not None for name in _DEVICE_TREES
    ):
        return None
    checksum = hashlib.sha256()
    for path in _boot_files(tree, versions[0]):
        with opened_file(tree, path) as file:
            while block := file.read(_READ_BYTES):
                checksum.update(block)
    return checksum.hexdigest()


def _boot_files(tree: ImageTree, version: str) -> tuple[Path, ...]:
    found = (paths.MODULES / version / name for name in (KERNEL, INITRAMFS))
    return tuple(path for path in found if tree.kind(path) is FileKind.FILE)


def _size(tree: ImageTree, path: Path) -> int:
    with opened_file(tree, path) as file:
        return file.seek(0, os.SEEK_END)
