"""Lines of tmpfiles.d(5) that an installation leaves for the first boot."""

import base64
import re

from bootcpy.errors import ImageContentError
from bootcpy.model.base.toml import shown_value

# Fields are parted by white space, and "%" begins a specifier.
_HOME = re.compile(r"[A-Za-z0-9_.@+-]+(/[A-Za-z0-9_.@+-]+)*")


def root_ssh_tmpfiles(authorized_keys: str, *, home: str) -> str:
    """Return the tmpfiles.d line that puts the keys into root's home, as bootc writes it.

    Raises:
        ImageContentError: `home`, as an image's link /root has it, is no plain path.
    """
    if not _HOME.fullmatch(home) or ".." in home.split("/"):
        raise ImageContentError(
            f"the image's link /root leads to {shown_value(home)}, where keys cannot be stored",
            hint="let /root link to /var/roothome, or omit --root-ssh-authorized-keys",
        )
    encoded = base64.b64encode(authorized_keys.encode()).decode()
    return f"f~ /{home}/.ssh/authorized_keys 600 root root - {encoded}\n"
