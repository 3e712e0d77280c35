"""The line that greets who logs in (pam_motd(8))."""

import contextlib
from pathlib import Path

from bootcpy.model.base.printable import printable

_FILE = Path("/run/motd.d/50-bootc")


def publish(line: str | None) -> None:
    """Greet with `line` from now on, in place of an earlier one; None is no greeting."""
    if line is None:
        with contextlib.suppress(FileNotFoundError):
            _FILE.unlink()
        return
    _FILE.parent.mkdir(mode=0o755, exist_ok=True)
    temporary = _FILE.with_name(f".{_FILE.name}")
    temporary.write_text(f"{printable(line)}\n", encoding="utf-8")
    temporary.replace(_FILE)
