"""`bootc status`: what is booted, staged and kept, as the host document."""

from bootcpy.model.boot_state import BootState
from bootcpy.model.host import Host
from bootcpy.model.slots import booted_only as without_staged_and_rollback
from bootcpy.model.slots import host_from_state
from bootcpy.model.staged_record import Arrival
from bootcpy.system import environment, staged_record


def status(*, booted_only: bool = False) -> Host:
    """Return the host document of the running system.

    In a container, and on a host that libostree did not boot, it has no entries.

    Raises:
        DeploymentError: the deployments cannot be read.
    """
    if not environment.is_ostree_host():
        return host_from_state(BootState())
    from bootcpy.ostree import deployments  # noqa: PLC0415 - only a booted host needs libostree

    host = host_from_state(deployments.read_boot_state())
    return without_staged_and_rollback(host) if booted_only else host


def read_warning() -> Arrival | None:
    """Return what a booted host has to be warned of: an update that did not arrive.

    Raises:
        DeploymentError: the deployments cannot be read.
    """
    if staged_record.read_record() is None and staged_record.read_failure() is None:
        return None
    from bootcpy.verbs.boot_check import read_arrival  # noqa: PLC0415 - hardly ever needed

    arrival = read_arrival()
    return arrival if arrival.message else None
