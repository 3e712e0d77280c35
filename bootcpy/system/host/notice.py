"""Signs left for other programs: that the status changed, and that a reboot is due."""

import contextlib
import os
from pathlib import Path

from bootcpy import paths
from bootcpy.model.base.printable import printable

_MODE = 0o755
_OURS = "bootc: "


def announce_change(root: Path = paths.SYSROOT) -> None:
    """Touch the directory whose time bootc-status-updated.path watches."""
    directory = root / paths.BOOTC_STATE
    directory.mkdir(mode=_MODE, parents=True, exist_ok=True)
    os.utime(directory)


def ask_for_reboot(what: str) -> None:
    """Leave `what` in /run/reboot-required, where kured and update notifiers look."""
    line = printable(f"{_OURS}Reboot required for {what}")
    paths.REBOOT_REQUIRED.write_text(f"{line}\n", encoding="utf-8")


def withdraw_reboot() -> None:
    """Take back what `ask_for_reboot` left; what other programs left there stays."""
    with contextlib.suppress(FileNotFoundError):
        if paths.REBOOT_REQUIRED.read_bytes().startswith(_OURS.encode()):
            paths.REBOOT_REQUIRED.unlink()
