"""`bootc internals systemd-generator`: run the generator that the image has for systemd."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bootcpy.errors import EnvironmentMismatchError

_GENERATOR = Path("/usr/lib/systemd/system-generators/bootc-systemd-generator")


def systemd_generator(directories: Sequence[Path]) -> NoReturn:
    """Become the generator, which writes into the first of the `directories`.

    Raises:
        EnvironmentMismatchError: there is none, or it is a link to this very program.
    """
    if _GENERATOR.resolve().name != _GENERATOR.name or not os.access(_GENERATOR, os.X_OK):
        raise EnvironmentMismatchError(
            f"{_GENERATOR} is not installed",
            hint="`bootc container prepare` writes it into an image",
        )
    os.execv(_GENERATOR, [str(_GENERATOR), *map(str, directories)])  # noqa: S606 - become it
