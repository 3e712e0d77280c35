"""The credentials for registries that this system has."""

import os
from pathlib import Path

from bootcpy.paths import ROOT_AUTH_FILES


def find_auth_file() -> Path | None:
    """Return the credentials file bootc would use, None for anonymous access."""
    candidates = ROOT_AUTH_FILES if os.geteuid() == 0 else _user_auth_files()
    return next((path for path in candidates if path.exists()), None)


def _user_auth_files() -> tuple[Path, ...]:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return tuple(Path(base, "ostree/auth.json") for base in (runtime, config) if base)
