"""What an image has to boot with, wherever its files are."""

from bootcpy import paths
from bootcpy.model.boot.bootable import BootFacts, os_release, prepare_root_conf
from bootcpy.model.boot.kernels import INITRAMFS, kernel_versions
from bootcpy.model.image.tree import FileKind, ImageTree, opened_file
from bootcpy.system.boot import initramfs


def read(tree: ImageTree) -> BootFacts:
    """Return the facts about the image `tree`.

    Raises:
        ImageContentError: the initramfs is damaged, or something is larger than it may be.
    """
    kernels = kernel_versions(tree)
    image = paths.MODULES / kernels[0] / INITRAMFS if len(kernels) == 1 else None
    if image is not None and tree.kind(image) is not FileKind.FILE:
        image = None
    has_prepare_root = False
    if image is not None:
        with opened_file(tree, image) as file:
            has_prepare_root = initramfs.PREPARE_ROOT in initramfs.paths_in(file)
    return BootFacts(
        kernels=kernels,
        has_initramfs=image is not None,
        has_prepare_root=has_prepare_root,
        prepare_root_conf=prepare_root_conf(tree, bases=(*tree.etc, paths.USR_LIB)),
        os_release=os_release(tree),
        has_etc=any(tree.kind(etc) is FileKind.DIRECTORY for etc in tree.etc),
    )
