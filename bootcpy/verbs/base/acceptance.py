"""Images that are here already, and the policy of today."""

from pathlib import Path

from bootcpy.errors import ImageUnavailableError
from bootcpy.model.image.reference import ImageReference
from bootcpy.ostree.base.repo import open_repo
from bootcpy.ostree.image.acceptance import read_acceptance, record_acceptance
from bootcpy.system.image import policy
from bootcpy.system.image.skopeo import OpenedImage


def note_accepted(repo_path: Path, commit: str, source: OpenedImage) -> None:
    """Note on the commit of an image that is open what policy accepted it just now.

    Raises:
        BootcpyError: the note cannot be written.
    """
    record_acceptance(open_repo(repo_path), commit, source.accepted)


def require_accepted(repo_path: Path, commit: str, image: ImageReference) -> None:
    """Refuse to deploy what is here already where today's policy demands more than it met.

    Raises:
        ImageUnavailableError: it does, or there is no policy.
    """
    today = policy.read_acceptance(image)
    met = read_acceptance(open_repo(repo_path), commit)
    if not today.demands or (met is not None and met.is_enough(today.image, today.demands)):
        return
    known = met is not None and met.image == today.image
    then = f"accepted by {met.words}" if met is not None and known else "not checked by a policy"
    raise ImageUnavailableError(
        f"{image} was {then} when it was downloaded; the policy now requires {today.words}",
        hint="`bootc upgrade` fetches it again under the current policy",
    )


def is_accepted(repo_path: Path, commit: str, image: ImageReference) -> bool:
    """Tell whether `require_accepted` lets the image pass."""
    try:
        require_accepted(repo_path, commit, image)
    except ImageUnavailableError:
        return False
    return True
