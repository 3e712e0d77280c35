"""`bootc status`: what is booted, staged and kept, as the host document."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bootcpy.model.host.deployments import BootState
from bootcpy.model.host.document import Host
from bootcpy.model.host.staged_record import Arrival
from bootcpy.model.host.status import booted_only as without_staged_and_rollback
from bootcpy.model.host.status import host_from_state
from bootcpy.system.host import environment, staged_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The host document, and what it has no place for.

    Attributes:
        host: the document.
        accepted: which requirements of a policy the images met, by the deployments' commits.
    """

    host: Host
    accepted: Mapping[str, str] = field(default_factory=dict)


def status(*, booted_only: bool = False) -> Status:
    """Return the host document of the running system.

    In a container, and on a host that libostree did not boot, it has no entries.

    Raises:
        DeploymentError: the deployments cannot be read.
    """
    if not environment.is_ostree_host():
        return Status(host=host_from_state(BootState()))
    from bootcpy.ostree.host import deployments  # noqa: PLC0415 - only a booted host needs libostree

    state = deployments.read_boot_state()
    host = host_from_state(state)
    return Status(
        host=without_staged_and_rollback(host) if booted_only else host,
        accepted={
            each.checksum: each.accepted_by for each in state.deployments if each.accepted_by
        },
    )


def read_warning() -> Arrival | None:
    """Return what a booted host has to be warned of: an update that did not arrive.

    Raises:
        DeploymentError: the deployments cannot be read.
    """
    if staged_record.read_record() is None and staged_record.read_failure() is None:
        return None
    from bootcpy.verbs.boot.boot_check import read_arrival  # noqa: PLC0415 - hardly ever needed

    arrival = read_arrival()
    return arrival if arrival.message else None
