"""What became of the update that was staged before this boot, and who is told."""

import dataclasses

from bootcpy import paths
from bootcpy.errors import DeploymentError
from bootcpy.model.base.progress import Progress
from bootcpy.model.host.decisions import display
from bootcpy.model.host.deployments import BootState, Deployment
from bootcpy.model.host.staged_record import Arrival, Fate, StagedRecord, judge_arrival
from bootcpy.ostree.host import deployments
from bootcpy.ostree.host.booted import locked_system, read_state_now
from bootcpy.system.host import motd, notice, staged_record, systemd


def note_staged() -> None:
    """Record on the disk what the next boot should run, or that nothing is staged for it.

    For whoever changed what is staged, while the system is writable for them.

    Raises:
        BootcpyError: the record cannot be written.
    """
    state = read_state_now()
    staged, booted = state.staged, state.booted
    if staged is None or staged.finalization_locked or booted is None:
        staged_record.remove_record()
        return
    staged_record.write_record(
        StagedRecord.of(
            staged, booted, boot_id=staged_record.read_boot_id(), staged_at=staged_record.now()
        )
    )


def boot_check(progress: Progress) -> None:
    """Find out whether the update staged before this boot runs; tell, and tidy up.

    Raises:
        DeploymentError: it is lost, and why. The unit that calls this fails by that.
    """
    if not paths.OSTREE_BOOTED.exists():
        return
    state = deployments.read_boot_state()
    record = staged_record.read_record()
    arrival = _read_arrival_of(state, record)
    motd.publish(_choose_greeting(state, arrival))
    if state.staged is None and not state.rollback_queued:
        notice.withdraw_reboot()  # a soft reboot leaves /run as it was
    match arrival.fate:
        case Fate.ARRIVED | Fate.SET_ASIDE:
            with locked_system(progress):
                if staged_record.read_record() == record:  # not of what was staged meanwhile
                    staged_record.remove_record()
        case Fate.LOST:
            if record is not None and record.reason is None:
                with locked_system(progress):
                    if staged_record.read_record() == record:  # as above
                        kept = dataclasses.replace(record, reason=arrival.reason)
                        staged_record.write_record(kept)
            fields = {} if record is None else {"bootc.manifest_digest": record.digest}
            systemd.journal(arrival.message, systemd.MESSAGE_UPDATE_LOST, fields)
            raise DeploymentError(arrival.message, hint=arrival.hint)
        case Fate.UNKNOWN | Fate.PASSED_OVER:
            pass


def read_arrival() -> Arrival:
    """Return what became of the update that was staged before this boot.

    Raises:
        DeploymentError: the deployments cannot be read.
    """
    return _read_arrival_of(deployments.read_boot_state(), staged_record.read_record())


def forget_overtaken(state: BootState) -> None:
    """Forget a lost update once the image it was of is known to have no other than what runs.

    For whoever found nothing to do, while the system is writable for them.

    Raises:
        BootcpyError: the record cannot be removed.
    """
    record, booted = staged_record.read_record(), state.booted
    image = booted.origin.image if booted else None
    if record is None or image is None or state.staged is not None:
        return
    if record.image == str(image.image):
        staged_record.remove_record()
        notice.announce_change()


def publish_motd() -> None:
    """Greet who logs in with what is staged, or what was lost.

    Raises:
        DeploymentError: the deployments cannot be read.
    """
    if paths.OSTREE_BOOTED.exists():
        state = deployments.read_boot_state()
        motd.publish(_choose_greeting(state, _read_arrival_of(state, staged_record.read_record())))


def _read_arrival_of(state: BootState, record: StagedRecord | None) -> Arrival:
    return judge_arrival(
        record,
        state.deployments,
        boot_id=staged_record.read_boot_id(),
        failure=staged_record.read_failure(),
    )


def _choose_greeting(state: BootState, arrival: Arrival) -> str | None:
    if state.staged is not None:
        return _describe_staged(state.staged)
    if arrival.message:
        return f"bootc: {arrival.message}; {arrival.hint}."
    return None


def _describe_staged(staged: Deployment) -> str:
    name = display(staged.origin.image) if staged.origin.image else staged.checksum
    if staged.finalization_locked:
        return f"bootc: {name} is downloaded; `bootc upgrade --from-downloaded` releases it."
    return f"bootc: {name} is staged; the next boot runs it."
