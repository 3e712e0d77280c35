"""Whether a disk may be installed to: what was found out about it, and the refusals."""

from dataclasses import dataclass

from bootcpy.errors import TargetError
from bootcpy.model.base.listing import shown_few
from bootcpy.model.install.layout import DiskFacts

# What a disk holds, in words, when an installation onto it was interrupted.
UNFINISHED = "an unfinished installation"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetState:
    """A disk and who uses it."""

    disk: DiskFacts
    parent: str | None = None  # the disk this is a partition of
    read_only: bool = False
    mounts: tuple[tuple[str, str], ...] = ()  # (device, where)
    swaps: tuple[str, ...] = ()  # devices
    holders: tuple[str, ...] = ()  # "vg0-root (LVM)", "md0 (RAID)", "loop3 (loop device)"
    runs_host: bool = False  # the host's root file system is on it
    busy: bool = False  # somebody has it open exclusively
    available_bytes: int | None = None  # of a disk file: allocated to it or free below it

    @property
    def in_use(self) -> bool:
        """Whether anybody uses the disk, which forbids even looking at what is on it."""
        return bool(self.runs_host or self.mounts or self.swaps or self.holders or self.busy)


def require_usable(state: TargetState, *, wipe: bool) -> None:
    """Refuse a disk that is no disk, is in use, or holds something and may not be wiped.

    Raises:
        TargetError: with the reason; nothing has been written.
    """
    path = state.disk.path
    if state.parent is not None:
        raise TargetError(
            f"{path} is a partition, not a disk", hint=f"give the whole disk: {state.parent}"
        )
    if state.runs_host:
        raise TargetError(
            f"{path} is the disk the host runs from",
            hint="choose another disk; to replace the running system, boot from other media",
        )
    if state.mounts:
        device, where = state.mounts[0]
        what = path if device == path else f"{path} is in use: {device}"
        raise TargetError(
            f"{what} is mounted at {where}", hint=f"`umount {where}`, or choose another disk"
        )
    if state.swaps:
        raise TargetError(
            f"{path} is in use: {state.swaps[0]} is swap space",
            hint=f"`swapoff {state.swaps[0]}`, or choose another disk",
        )
    if state.holders:
        raise TargetError(
            f"{path} is in use: it is part of {shown_few(state.holders)}",
            hint="deactivate it (LVM, RAID, ...), or choose another disk",
        )
    if state.busy:
        raise TargetError(
            f"{path} is in use by another program or container",
            hint="find it with `lsof` or `fuser -v`, or choose another disk",
        )
    if state.read_only:
        raise TargetError(
            f"{path} is read-only", hint="run `blockdev --setrw`, or choose another disk"
        )
    if state.disk.size_bytes == 0:
        raise TargetError(f"{path} has no medium: its size is 0", hint="choose another disk")
    if state.disk.contents not in {(), (UNFINISHED,)} and not wipe:
        raise TargetError(
            f"{path} is not empty: it has {shown_few(state.disk.contents)}",
            hint="add --wipe to destroy everything on it",
        )
