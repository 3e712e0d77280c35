"""Lines of tmpfiles.d(5) that an installation leaves for the first boot."""

import base64


def root_ssh_tmpfiles(authorized_keys: str, *, home: str) -> str:
    """Return the tmpfiles.d line that puts the keys into root's home, as bootc writes it."""
    encoded = base64.b64encode(authorized_keys.encode()).decode()
    return f"f~ /{home}/.ssh/authorized_keys 600 root root - {encoded}\n"
