"""What was staged, as noted on the disk, and whether it arrived at the boot after.

libostree keeps a staged deployment in /run and finishes it while the system shuts down. When
that fails, or the power does, the next boot has no trace of it; so staging leaves a record.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from enum import Enum, auto
from typing import Self

from bootcpy.errors import ConfigurationError
from bootcpy.model.host.deployments import Deployment


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedRecord:
    """A deployment that is to be booted next, and where it was staged: a boot, a deployment.

    `reason` is why it did not arrive, once that is known.
    """

    stateroot: str
    checksum: str
    serial: int
    image: str
    digest: str
    staged_at: str  # ISO 8601, UTC
    boot_id: str
    staged_in: str  # checksum and serial of what was booted then
    reason: str | None = None

    @classmethod
    def of(cls, staged: Deployment, booted: Deployment, *, boot_id: str, staged_at: str) -> Self:
        """Return the record of a deployment that was staged just now."""
        image = staged.origin.image
        return cls(
            stateroot=staged.stateroot,
            checksum=staged.checksum,
            serial=staged.serial,
            image=str(image.image) if image else staged.origin.refspec or "an ostree commit",
            digest=staged.image.manifest_digest if staged.image else staged.checksum,
            staged_at=staged_at,
            boot_id=boot_id,
            staged_in=_name(booted),
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `to_text` wrote.

        Raises:
            ConfigurationError: it is something else.
        """
        try:
            values = json.loads(text)
            known = {field.name: values[field.name] for field in fields(cls)}
        except (ValueError, KeyError, TypeError, RecursionError) as e:
            raise ConfigurationError(f"the record of what was staged is malformed: {e!r}") from e
        for name, value in known.items():
            kinds = {"serial": int, "reason": str | None}
            if not isinstance(value, kinds.get(name, str)):
                raise ConfigurationError(
                    f"the record of what was staged is malformed: {name} has the wrong type"
                )
        return cls(**known)

    def to_text(self) -> str:
        """Return the record as JSON."""
        return json.dumps(asdict(self)) + "\n"

    def describes(self, deployment: Deployment) -> bool:
        """Tell whether `deployment` is the one that was staged."""
        mine = (self.stateroot, self.checksum, self.serial)
        return mine == (deployment.stateroot, deployment.checksum, deployment.serial)


def _name(deployment: Deployment) -> str:
    return f"{deployment.checksum}.{deployment.serial}"


class Fate(Enum):
    """What became of a staged deployment."""

    UNKNOWN = auto()  # nothing is recorded, or its shutdown is yet to come
    ARRIVED = auto()  # it runs
    SET_ASIDE = auto()  # another program, or the user, has chosen what boots since
    PASSED_OVER = auto()  # it was finished and is first, yet something else was booted
    LOST = auto()  # it is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A fate, and for those that the user must hear of, a sentence without its full stop."""

    fate: Fate
    message: str = ""
    hint: str = ""
    reason: str = ""


_UPGRADE_AGAIN = "run `bootc upgrade` to stage it again"
_NO_REASON = "the system was not shut down normally, for example because of a power cut"


def judge_arrival(
    record: StagedRecord | None,
    deployments: Sequence[Deployment],
    *,
    boot_id: str,
    failure: str | None,
) -> Arrival:
    """Return what became of the recorded deployment, seen from the boot `boot_id`.

    `failure` is what libostree left of a finalization that failed at the last shutdown.
    """
    if record is None:
        if failure is None:
            return Arrival(fate=Fate.UNKNOWN)
        return _lost("an update that was staged", failure, hint=_UPGRADE_AGAIN)
    booted = next((each for each in deployments if each.booted), None)
    # The kernel's boot goes on when a soft reboot enters another deployment.
    if record.boot_id == boot_id and (booted is None or _name(booted) == record.staged_in):
        return Arrival(fate=Fate.UNKNOWN)
    return _judge(record, deployments, booted, failure)


def _judge(
    record: StagedRecord,
    deployments: Sequence[Deployment],
    booted: Deployment | None,
    failure: str | None,
) -> Arrival:
    what = f"the update to {record.image} ({record.digest}), staged {record.staged_at},"
    found = next((each for each in deployments if record.describes(each)), None)
    if found is not None and found.booted:
        return Arrival(fate=Fate.ARRIVED)
    if booted is None or _name(booted) != record.staged_in:
        return Arrival(fate=Fate.SET_ASIDE)
    if found is None:
        hint = _UPGRADE_AGAIN
        if booted.origin.image is None or str(booted.origin.image.image) != record.image:
            hint = "run the same `bootc switch` to stage it again"
        return _lost(what, record.reason or failure or _NO_REASON, hint=hint)
    if found.index > booted.index:
        return Arrival(fate=Fate.SET_ASIDE)
    return Arrival(
        fate=Fate.PASSED_OVER,
        message=f"{what} is installed, but another deployment was booted",
        hint="reboot to run it, or run `bootc rollback` to keep the booted deployment",
    )


def _lost(what: str, reason: str, *, hint: str) -> Arrival:
    one_line = " ".join(reason.split()).removeprefix("error: ")
    return Arrival(
        fate=Fate.LOST,
        message=f"{what} was not applied: {one_line}",
        hint=hint,
        reason=one_line,
    )
