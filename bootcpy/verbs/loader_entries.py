"""`bootc loader-entries set-options-for-source`: kernel arguments that other programs own."""

from typing import NoReturn

from bootcpy.errors import BootcpyError
from bootcpy.model.progress import Silent
from bootcpy.ostree.bindings import OSTree
from bootcpy.verbs.change import changing


def set_options_for_source(source: str, options: str | None) -> NoReturn:
    """Refuse: libostree before 2026.1 loses the keys of boot entries that record the owner.

    Raises:
        BootcpyError: always, naming what is missing.
    """
    with changing(Silent()):
        pass  # first what is wrong with the host, as with every other command
    if OSTree.check_version(2026, 1):
        wish = f"the arguments of {source}" if options is None else f"{options!r} for {source}"
        raise BootcpyError(
            f"setting {wish} is not supported yet",
            hint="kernel arguments of an image belong into /usr/lib/bootc/kargs.d",
        )
    raise BootcpyError(
        "This feature requires ostree >= 2026.1 for bootconfig-extra support; this is "
        f"{OSTree.YEAR_VERSION}.{OSTree.RELEASE_VERSION}",
        hint="kernel arguments of an image belong into /usr/lib/bootc/kargs.d",
    )
