"""The record, on an image's commit, of the policy that accepted the image.

It says nothing of the layers, which are checked by their digests.
"""

from bootcpy.model.image.acceptance import Acceptance
from bootcpy.ostree.base.bindings import OSTree
from bootcpy.ostree.base.detached import read_detached, write_detached

_KEY = "bootcpy.accepted-by"


def record_acceptance(repo: OSTree.Repo, commit: str, acceptance: Acceptance | None) -> None:
    """Note on `commit` what accepted its image just now; None if nothing judged it.

    Raises:
        NoSpaceError, BootcpyError: libostree fails.
    """
    write_detached(repo, commit, {_KEY: None if acceptance is None else acceptance.to_text()})


def read_acceptance(repo: OSTree.Repo, commit: str) -> Acceptance | None:
    """Return what accepted the image of `commit`, None if that is not known.

    Raises:
        gi.repository.GLib.Error: the repository cannot be read.
    """
    text = read_detached(repo, commit, _KEY)
    return None if text is None else Acceptance.parse(text)
