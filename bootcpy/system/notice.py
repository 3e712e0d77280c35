"""Signs left for other programs: that the status changed, and that a reboot is due."""

import os
from pathlib import Path

from bootcpy import paths

_MODE = 0o755


def status_changed(root: Path = paths.SYSROOT) -> None:
    """Touch the directory whose time bootc-status-updated.path watches."""
    directory = root / paths.BOOTC_STATE
    directory.mkdir(mode=_MODE, parents=True, exist_ok=True)
    os.utime(directory)


def reboot_required(what: str) -> None:
    """Leave `what` in /run/reboot-required, where kured and update notifiers look."""
    paths.REBOOT_REQUIRED.write_text(f"bootc: Reboot required for {what}\n", encoding="utf-8")
