"""Soft reboots through libostree, 2025.3 or newer: whether one is possible, and preparing it.

What a soft reboot enters is mounted at /run/nextroot; systemd makes the next reboot a soft
one because of that.
"""

from pathlib import Path

from bootcpy import paths
from bootcpy.model.boot.bootable import prepare_root_conf, requires_composefs
from bootcpy.ostree.base.bindings import OSTree
from bootcpy.ostree.base.repo import explained
from bootcpy.system.files.directory_tree import DirectoryTree
from bootcpy.system.files.mount import unmount_for_all

_NEXT_ROOT = Path("/run/nextroot")
_PREPARED = Path("/run/ostree/nextroot-booted")
_TARGET_UNIT = Path("/usr/lib/systemd/system/soft-reboot.target")
_SELINUX = Path("/sys/fs/selinux/enforce")


def find_lack(sysroot: OSTree.Sysroot) -> str | None:
    """Return what the running system lacks for any soft reboot; None if it lacks nothing."""
    if not hasattr(sysroot, "deployment_set_soft_reboot"):
        return (
            "a soft reboot needs libostree 2025.3 or newer; this is "
            f"{OSTree.YEAR_VERSION}.{OSTree.RELEASE_VERSION}"
        )
    if not _TARGET_UNIT.exists():
        return "a soft reboot needs systemd 254 or newer"
    booted = sysroot.get_booted_deployment()
    if booted is None or not _uses_composefs(sysroot, booted):
        return "a soft reboot needs composefs, which this system does not use"
    return None


def can_enter(sysroot: OSTree.Sysroot, deployment: OSTree.Deployment) -> bool:
    """Tell whether a soft reboot from what is booted to `deployment` is possible.

    libostree's answer, under the conditions that bootc adds; and that both are on composefs,
    which libostree finds out only as it prepares.
    """
    booted = sysroot.get_booted_deployment()
    if booted is None or deployment.equal(booted) or find_lack(sysroot) is not None:
        return False
    bootconfig = deployment.get_bootconfig()
    options = (bootconfig.get("options") if bootconfig else None) or ""
    # Before 2025.7 libostree answers for entries that have not been finalized yet as well.
    if not OSTree.check_version(2025, 7) and "ostree=" not in options:
        return False
    # Newer than the stubs, as below; find_lack() has asked whether it is there.
    if not sysroot.deployment_can_soft_reboot(deployment):  # type: ignore[attr-defined]
        return False
    if not _uses_composefs(sysroot, deployment):
        return False
    return not _SELINUX.exists() or _read_policy(sysroot, deployment) == _read_policy(
        sysroot, booted
    )


def _uses_composefs(sysroot: OSTree.Sysroot, deployment: OSTree.Deployment) -> bool:
    root = paths.SYSROOT / sysroot.get_deployment_dirpath(deployment)
    config = prepare_root_conf(DirectoryTree(root), bases=(Path("etc"), paths.USR_LIB))
    return config is not None and requires_composefs(config)


def _read_policy(sysroot: OSTree.Sysroot, deployment: OSTree.Deployment) -> str | None:
    policy = OSTree.SePolicy.new(sysroot.get_deployment_directory(deployment), None)
    checksum: str | None = policy.get_csum()
    return checksum


def prepare(sysroot: OSTree.Sysroot, deployment: OSTree.Deployment) -> None:
    """Have the next reboot be a soft one, into `deployment`.

    Raises:
        BootcpyError: libostree fails.
    """
    with explained("cannot prepare a soft reboot"):
        sysroot.deployment_set_soft_reboot(deployment, False, None)  # type: ignore[attr-defined]  # noqa: FBT003


def forget(sysroot: OSTree.Sysroot) -> None:
    """Have the next reboot be a normal one, whatever was prepared.

    libostree does so too when it stages or writes deployments, but only in the mount
    namespace of this process, which is not the one that systemd reboots from.

    Raises:
        BootcpyError: what was prepared cannot be taken back.
    """
    if _PREPARED.exists() and hasattr(sysroot, "clear_soft_reboot"):
        unmount_for_all(_NEXT_ROOT)
        with explained("cannot cancel the prepared soft reboot"):
            sysroot.clear_soft_reboot(None)
