"""The refs that images are kept by, which are ostree-ext's: one for each name.

A ref is a file, so `HOST/os` and `HOST/os/sub` cannot both be one as they are. Whichever comes
second is written with its slashes escaped, which ostree-ext reads like any other name.
"""

from collections.abc import Iterable

from bootcpy.errors import ReferenceFormatError
from bootcpy.model.image.reference import ImageReference, escape_ref, unescape_ref
from bootcpy.ostree.base.bindings import OSTree
from bootcpy.ostree.base.repo import IMAGE_REFS, explained, list_refs, set_ref


def list_image_refs(repo: OSTree.Repo) -> dict[str, str]:
    """Return the refs of all images, whoever wrote them, with the commits they name.

    Raises:
        BootcpyError: the repository cannot be read.
    """
    with explained("the repository's images cannot be read"):
        return list_refs(repo, IMAGE_REFS)


def image_of(ref: str) -> ImageReference | None:
    """Return the image that a ref is named after, None if that is none."""
    try:
        return ImageReference.parse(unescape_ref(ref.removeprefix(f"{IMAGE_REFS}/")))
    except ReferenceFormatError:
        return None


def find_image_commit(repo: OSTree.Repo, reference: ImageReference) -> str | None:
    """Return the commit that the image's ref names, whoever wrote it; None if it has no ref.

    Raises:
        BootcpyError: the repository cannot be read.
    """
    refs = list_image_refs(repo)
    return next((refs[name] for name in _names(reference) if name in refs), None)


def set_image_ref(repo: OSTree.Repo, reference: ImageReference, commit: str) -> None:
    """Have the image's ref name `commit`, durably.

    Raises:
        BootcpyError: the repository cannot be written.
    """
    refs = list_image_refs(repo)
    plain, whole = _names(reference)
    name, other = (whole, plain) if _is_blocked(plain, refs) else (plain, whole)
    set_ref(repo, name, commit)
    if other in refs and other != name:
        set_ref(repo, other, None)


def _names(reference: ImageReference) -> tuple[str, str]:
    """Return the ref as ostree-ext writes it, and the one that no other can be in the way of."""
    text = str(reference)
    return f"{IMAGE_REFS}/{escape_ref(text)}", f"{IMAGE_REFS}/{escape_ref(text, slashes=True)}"


def _is_blocked(name: str, refs: Iterable[str]) -> bool:
    """Tell whether another ref is where a directory is needed, or below this one."""
    return any(name.startswith(f"{ref}/") or ref.startswith(f"{name}/") for ref in refs)
