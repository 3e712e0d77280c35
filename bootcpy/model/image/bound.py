"""The images that an image binds: they are to be there whenever it runs."""

from bootcpy import paths
from bootcpy.model.image.tree import ImageTree, names


def bound_images(tree: ImageTree) -> tuple[str, ...]:
    """Return the names of the files that bind an image, sorted.

    Raises:
        ImageContentError: they cannot be listed, or are too many.
    """
    return names(tree, paths.BOUND_IMAGES_D)
