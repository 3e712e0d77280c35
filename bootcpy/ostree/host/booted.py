"""The booted system's deployments, opened to be changed: alone, and writable for us only."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from bootcpy import paths
from bootcpy.model.base.progress import Progress
from bootcpy.model.host.deployments import BootState
from bootcpy.ostree.base.bindings import Gio, GLib, OSTree
from bootcpy.ostree.base.repo import explained
from bootcpy.ostree.host.deployments import boot_state
from bootcpy.system.files.mount import enter_private_namespace
from bootcpy.system.process.locks import held_by

UNREADABLE = "the deployments of this system cannot be read"
_LOCK = paths.SYSROOT / "ostree/lock"
_PAUSE_S = 0.25
_FROZEN_S = 10.0


def open_sysroot() -> OSTree.Sysroot:
    """Return the deployments as they are now; whatever was opened before does not notice changes.

    The process must be in a mount namespace of its own: libostree makes /sysroot and
    /boot writable there as soon as it writes.

    Raises:
        BootcpyError: the deployments cannot be read.
    """
    sysroot = OSTree.Sysroot.new_default()
    sysroot.set_mount_namespace_in_use()
    with explained(UNREADABLE):
        sysroot.load(None)
    return sysroot


def read_state_now() -> BootState:
    """Return the facts about all deployments while this process holds the lock.

    Raises:
        BootcpyError: the deployments cannot be read.
    """
    sysroot = open_sysroot()
    with explained(UNREADABLE):
        return boot_state(sysroot)


@contextmanager
def locked_system(progress: Progress) -> Generator[OSTree.Sysroot]:
    """Hold the lock of the booted system, and yield its deployments.

    Waits for another program that changes the deployments, and says which. In this
    process /sysroot and /boot are writable from here on; everybody else's stay as they are.

    Raises:
        BootcpyError: the deployments cannot be read, or a mount namespace cannot be had.
    """
    enter_private_namespace()
    waiting = open_sysroot()
    with explained("the deployments cannot be locked"):
        _acquire(waiting, progress)
    try:
        # What was loaded before the lock may be out of date; the lock is the process's.
        waiting.unload()
        waiting.load(None)
        yield waiting
    finally:
        waiting.unlock()


def _acquire(sysroot: OSTree.Sysroot, progress: Progress) -> None:
    thawed_by = time.monotonic() + _FROZEN_S
    if _try_lock(sysroot, thawed_by):
        return
    # Polling, because a signal does not get through to libostree's own wait.
    with progress.step(f"Waiting for sysroot lock{held_by(_LOCK)}..."):
        while not _try_lock(sysroot, thawed_by):
            time.sleep(_PAUSE_S)


def _try_lock(sysroot: OSTree.Sysroot, thawed_by: float) -> bool:
    """Lock, if nobody else holds it and the file system is not frozen.

    Who writes a boot entry freezes /boot for a moment, often /sysroot's own file system;
    the kernel does not make a frozen one writable.
    """
    try:
        return bool(sysroot.try_lock()[1])
    except GLib.Error as e:
        frozen = e.matches(Gio.io_error_quark(), Gio.IOErrorEnum.BUSY)
        if not frozen or time.monotonic() > thawed_by:
            raise
        return False
