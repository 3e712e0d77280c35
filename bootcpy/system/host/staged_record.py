"""The record of what was staged, on the disk, and what libostree says of a failure."""

import logging
from datetime import UTC, datetime
from pathlib import Path

from bootcpy import paths
from bootcpy.errors import BootcpyError, ConfigurationError
from bootcpy.model.host.staged_record import StagedRecord
from bootcpy.system.files import durable

log = logging.getLogger(__name__)

_RECORD = paths.SYSROOT / paths.BOOTC_STATE / "staged.json"
_HINT = "check whether the file system of /sysroot is full or damaged (`dmesg`)"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# A copy that our tmpfiles.d makes at boot: `ostree admin boot-complete` removes the original.
_FAILURE = paths.RUN / "finalize-failure"


def read_record() -> StagedRecord | None:
    """Return the record; None without one, or without the right to read it."""
    try:
        return StagedRecord.parse(_RECORD.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    except ConfigurationError as e:
        log.warning("%s: %s", _RECORD, e.message)
        return None


def write_record(record: StagedRecord) -> None:
    """Write the record in place of an older one; /sysroot must be writable.

    Raises:
        BootcpyError: it cannot be written.
    """
    try:
        _RECORD.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        durable.write_text(_RECORD, record.to_text())
    except OSError as e:
        raise BootcpyError(
            f"cannot record in {_RECORD} what is staged: {e.strerror}", hint=_HINT
        ) from e


def remove_record() -> None:
    """Remove the record if there is one; /sysroot must be writable.

    Raises:
        BootcpyError: it cannot be removed.
    """
    try:
        _RECORD.unlink(missing_ok=True)
    except OSError as e:
        raise BootcpyError(f"cannot remove {_RECORD}: {e.strerror}", hint=_HINT) from e


def read_failure() -> str | None:
    """Return what libostree wrote when it could not finalize, at the last shutdown."""
    try:
        return _FAILURE.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def read_boot_id() -> str:
    """Return the kernel's name for this boot."""
    return _BOOT_ID.read_text(encoding="ascii").strip()


def now() -> str:
    """Return the time, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
