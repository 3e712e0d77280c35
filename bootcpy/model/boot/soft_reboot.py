"""Soft reboots: user space starts anew from another deployment, under the kernel that runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from bootcpy.model.base.listing import shown_few


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelState:
    """What a soft reboot cannot change.

    `boot_files` is libostree's checksum of kernel and initramfs, None if it is not known yet;
    `kargs` are the arguments without `ostree=`.
    """

    boot_files: str | None
    kargs: Sequence[str]
    composefs: bool  # whether the root is a composefs; libostree prepares no other


def find_obstacle(booted: KernelState, target: KernelState) -> str | None:
    """Return why no soft reboot leads from what is booted to `target`; None if one may.

    libostree has the last word once `target` is staged.
    """
    if not target.composefs:
        return "its prepare-root.conf does not turn composefs on"
    if target.boot_files is not None and booted.boot_files != target.boot_files:
        return "its kernel or initramfs is different"
    if tuple(booted.kargs) != tuple(target.kargs):
        return "its kernel arguments differ: " + shown_few(
            _changes(booted.kargs, target.kargs), limit=10, separator=" "
        )
    return None


def _changes(before: Sequence[str], after: Sequence[str]) -> list[str]:
    gone = [f"-{param}" for param in before if param not in after]
    new = [f"+{param}" for param in after if param not in before]
    return [*gone, *new] or ["their order"]
