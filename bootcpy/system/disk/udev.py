"""udev, by pyudev, which is imported here only: its database, and the kernel's events.

Both may be out of reach in a container; what asks then has to do without.
"""

from collections.abc import Callable
from pathlib import Path


def read_property(sysfs: Path, name: str) -> str | None:
    """Return what udev's database has about the device at `sysfs` under `name`."""
    import pyudev  # noqa: PLC0415 - only this command needs it

    try:
        device = pyudev.Devices.from_sys_path(pyudev.Context(), str(sysfs))
    except pyudev.DeviceNotFoundError:
        return None
    value: str | None = device.properties.get(name)
    return value


def listen_for_partitions() -> Callable[[float], None]:
    """Return what waits so many seconds, or until the kernel tells of a partition.

    These are the kernel's own events, because udevd, if there is one, is kept off a disk that
    is being written.
    """
    import pyudev  # noqa: PLC0415 - as above

    monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="kernel")
    monitor.filter_by("block", "partition")
    monitor.start()

    def wait(timeout_s: float) -> None:
        monitor.poll(timeout=timeout_s)

    return wait
