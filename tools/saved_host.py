"""A host that has booted, kept as it ran: tests go on from there instead of booting first.

The memory is QEMU's migration stream; disk and firmware variables are those of the moment it
was taken. What goes on from it is the same machine, with a disk of its own; only its clock
lags by the time in between.
"""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bootcpy.errors import BootcpyError
from tools import guest, qemu
from tools.lock import one_at_a_time
from tools.monitor import connected

_MONITOR = "monitor"
_SAVE_TIMEOUT_S = 120
_CONNECTION_S = 1  # for the guest to see that the connection is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedHost:
    """Where disk, firmware variables, memory and the key of a saved host are."""

    directory: Path

    @property
    def disk(self) -> Path:
        """The disk, in qcow2; boot overlays of it only."""
        return self.directory / "disk.qcow2"

    @property
    def memory(self) -> Path:
        """What was in the machine beside its disk."""
        return self.directory / "memory"

    @property
    def key(self) -> Path:
        """The private key that opens it."""
        return guest.make_key(self.directory)

    @property
    def variables(self) -> Path:
        """The UEFI variables."""
        return self.directory / "firmware-variables.fd"


def saved_host(
    base: Path, *, directory: Path, accel: qemu.Accelerator, report: guest.Report
) -> SavedHost:
    """Return the host on the raw disk `base`, saved when all it starts was running.

    One that was saved from the same disk by the same QEMU is used again.

    Raises:
        GuestError: it does not boot, or units fail.
        BootcpyError: QEMU cannot save it.
    """
    host = SavedHost(directory=directory)
    made_from = json.dumps([
        *(str(base), base.stat().st_mtime_ns),
        *(qemu.version()[1], qemu.DEVICES_VERSION, accel),
    ])
    record = directory / "made-from.json"
    with one_at_a_time(directory.with_name(f"{directory.name}.lock")):
        if not record.exists() or record.read_text(encoding="utf-8") != made_from:
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            _boot_and_save(base, host, accel, report)
            record.write_text(made_from, encoding="utf-8")
    return host


def _boot_and_save(
    base: Path, host: SavedHost, accel: qemu.Accelerator, report: guest.Report
) -> None:
    disk = qemu.overlay(base, host.disk)
    machine = _machine(disk, directory=host.directory, key=host.key)
    saved = guest.Guest(machine, accel=accel, key=host.key, report=report)
    with guest.powered(saved) as running:
        running.wait_until_running()
        running.leave_running()
        time.sleep(_CONNECTION_S)
        _save(host.directory / _MONITOR, host.memory)


@contextmanager
def resumed(
    host: SavedHost,
    *,
    directory: Path,
    accel: qemu.Accelerator,
    report: guest.Report,
    offline: bool = False,
) -> Iterator[guest.Guest]:
    """Yield a guest that goes on as `host`, on a disk of its own; cut its power at the end.

    `directory` takes disk and console. An `offline` guest reaches nobody, and can still be
    reached.

    Raises:
        GuestError: it does not answer.
    """
    directory.mkdir(parents=True, exist_ok=True)
    disk = qemu.overlay(host.disk, directory / "disk.qcow2", base_format="qcow2")
    shutil.copyfile(host.variables, directory / "firmware-variables.fd")
    machine = replace(_machine(disk, directory=directory, key=host.key), offline=offline)
    going_on = guest.Guest(machine, accel=accel, key=host.key, report=report)
    with guest.powered(going_on, memory=host.memory) as running:
        yield running


def _machine(disk: qemu.Disk, *, directory: Path, key: Path) -> qemu.Machine:
    """Return the machine: what goes on must have the same devices as what was saved."""
    return qemu.Machine(
        directory=directory,
        disks=[disk],
        firmware=qemu.Firmware.UEFI,
        ssh_port=qemu.free_port(),
        credentials=guest.credentials(key),
        monitor=directory / _MONITOR,
    )


def _save(monitor: Path, memory: Path) -> None:
    """Write what the machine has in memory to `memory`; it ends with that."""
    deadline = time.monotonic() + _SAVE_TIMEOUT_S
    with connected(monitor) as ask:
        ask("migrate", uri=f"file:{memory}")
        while (state := ask("query-migrate").get("status")) != "completed":
            if state in {"failed", "cancelled"} or time.monotonic() > deadline:
                raise BootcpyError(f"QEMU did not save the guest's memory: {state}")
            time.sleep(0.1)
        ask("quit")
