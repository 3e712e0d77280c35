"""`bootc internals fixup-etc-fstab`: let a read-only root be read-only in /etc/fstab."""

from pathlib import Path

from bootcpy.errors import ConfigurationError
from bootcpy.model.host.fstab import with_read_only_root
from bootcpy.system.files import durable

_FSTAB = Path("/etc/fstab")


def fixup_etc_fstab() -> None:
    """Add `ro` to the root's options in /etc/fstab, if there is such a line without it.

    Raises:
        ConfigurationError: the file cannot be read or written.
    """
    try:
        text = _FSTAB.read_text(encoding="utf-8", errors="surrogateescape")
        fixed = with_read_only_root(text)
        if fixed != text:
            durable.write_text(_FSTAB, fixed, mode=_FSTAB.stat().st_mode & 0o7777)
    except OSError as e:
        raise ConfigurationError(f"{_FSTAB} cannot be changed: {e.strerror}") from e
