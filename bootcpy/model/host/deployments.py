"""Facts about the deployments of a system, as they were read; no judgement.

`bootcpy.ostree.host.deployments` fills these types, `bootcpy.model.host.status` and
`bootcpy.model.host.decisions` draw conclusions from them.
"""

from dataclasses import dataclass
from enum import StrEnum

from bootcpy.model.host.origin import Origin


class Unlocked(StrEnum):
    """How /usr of a deployment was opened for changes; libostree's names."""

    NONE = "none"
    DEVELOPMENT = "development"  # a writable overlay until the next boot
    HOTFIX = "hotfix"  # a writable overlay that stays
    TRANSIENT = "transient"  # an overlay that is mounted read-only


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """What a commit says of the image it was made from; texts as they were stored."""

    manifest_digest: str
    manifest_text: str
    config_text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCommit:
    """An image that the repository holds: its commit, and what that says of the image."""

    commit: str
    record: ImageRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One bootable tree. `index` is its place in the boot order; lower comes first."""

    checksum: str
    serial: int
    stateroot: str
    index: int
    origin: Origin
    booted: bool = False
    staged: bool = False
    finalization_locked: bool = False
    pinned: bool = False
    soft_reboot_capable: bool = False
    unlocked: Unlocked = Unlocked.NONE
    image: ImageRecord | None = None
    cached_update: ImageRecord | None = None
    accepted_by: str | None = None  # the requirements of a policy that its image met


@dataclass(frozen=True, slots=True, kw_only=True)
class BootState:
    """All deployments in boot order; none if the system was not booted through libostree.

    `read_only` says that the medium below /sysroot cannot be written, as on a live ISO.
    """

    deployments: tuple[Deployment, ...] = ()
    read_only: bool = False

    @property
    def booted(self) -> Deployment | None:
        """The deployment that runs."""
        return next((d for d in self.deployments if d.booted), None)

    @property
    def staged(self) -> Deployment | None:
        """The deployment that waits to be finalized, if it is of the booted stateroot."""
        return next((d for d in self._siblings() if d.staged), None)

    @property
    def rollback(self) -> Deployment | None:
        """The first other deployment of the booted stateroot."""
        return next(iter(self._idle_siblings()), None)

    @property
    def others(self) -> tuple[Deployment, ...]:
        """Whatever is neither booted, staged nor the rollback: siblings first, as bootc."""
        stateroot = self.booted.stateroot if self.booted else None
        foreign = tuple(d for d in self.deployments if d.stateroot != stateroot)
        return (*self._idle_siblings()[1:], *foreign)

    @property
    def rollback_queued(self) -> bool:
        """Whether the rollback is what boots next."""
        booted, rollback = self.booted, self.rollback
        return booted is not None and rollback is not None and rollback.index < booted.index

    def _siblings(self) -> tuple[Deployment, ...]:
        if self.booted is None:
            return ()
        return tuple(d for d in self.deployments if d.stateroot == self.booted.stateroot)

    def _idle_siblings(self) -> tuple[Deployment, ...]:
        return tuple(d for d in self._siblings() if not d.booted and not d.staged)
