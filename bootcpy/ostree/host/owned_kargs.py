"""Owners of kernel arguments, in the boot entries that libostree keeps.

libostree before 2026.1 drops the keys of a boot entry that it does not know when it stages.
"""

import tempfile
from pathlib import Path

from bootcpy.errors import BootcpyError
from bootcpy.model.boot.owned_kargs import OwnedKargs, read_sources
from bootcpy.ostree.base.bindings import Gio, OSTree
from bootcpy.ostree.base.repo import explained
from bootcpy.ostree.host.staging import read_kargs

_BY_HAND = "write an image's kernel arguments to /usr/lib/bootc/kargs.d"


def require_support(sysroot: OSTree.Sysroot) -> None:
    """Refuse where libostree loses track of who owns what.

    2026.2 takes what was staged before for newer than what is staged now.

    Raises:
        BootcpyError: naming the version that is needed, and the one there is.
    """
    found = f"{OSTree.YEAR_VERSION}.{OSTree.RELEASE_VERSION}"
    if not OSTree.check_version(2026, 1):
        raise BootcpyError(
            f"This feature requires ostree >= 2026.1 for bootconfig-extra support; this is {found}",
            hint=_BY_HAND,
        )
    if not OSTree.check_version(2026, 3) and found == "2026.2" and sysroot.get_staged_deployment():
        raise BootcpyError(
            "libostree 2026.2 cannot change the arguments of a deployment that is staged",
            hint="reboot first, or use a newer libostree",
        )


def read_owned_kargs(sysroot: OSTree.Sysroot, deployment: OSTree.Deployment) -> OwnedKargs:
    """Return the kernel arguments a booted or staged deployment boots with, and who owns them.

    One that was staged without any gets those of the booted deployment at shutdown.
    """
    config = deployment.get_bootconfig()
    if config is None or not config.get("options"):
        deployment = sysroot.require_booted_deployment()
    return OwnedKargs(kargs=read_kargs(deployment), sources=_read_sources(deployment))


def _read_sources(deployment: OSTree.Deployment) -> dict[str, str]:
    """Ask for the whole entry: libostree tells the value of a key, but no names."""
    config = deployment.get_bootconfig()
    if config is None:
        return {}
    with tempfile.TemporaryDirectory() as directory:
        entry = Path(directory, "entry")
        with explained("a boot entry cannot be read"):
            config.write(Gio.File.new_for_path(str(entry)), None)
        return read_sources(entry.read_text(encoding="utf-8"))
