"""`bootc usr-overlay`: a /usr that can be written until the next boot."""

import os
from typing import NoReturn

from bootcpy.errors import BootcpyError, EnvironmentMismatchError
from bootcpy.system.host import environment
from bootcpy.verbs.base.rights import require_rights


def usr_overlay(*, read_only: bool = False) -> NoReturn:
    """Become `ostree admin unlock`, whose output and exit status are then this program's.

    Raises:
        EnvironmentMismatchError: the system was not booted through libostree.
        PrivilegeError: a right is missing.
        BootcpyError: the program ostree is not installed.
    """
    if not environment.is_ostree_host():
        raise EnvironmentMismatchError(
            "usroverlay only applies on booted hosts",
            hint="install an image with `bootc install`, and boot it",
        )
    require_rights()
    argv = ["ostree", "admin", "unlock", *(["--transient"] if read_only else [])]
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - the point is to become that program
    except FileNotFoundError as e:
        raise BootcpyError(
            "the program ostree is not installed", hint="install ostree and try again"
        ) from e
