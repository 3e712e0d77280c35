"""Staging and holding back in one step, past what the bindings of libostree can say.

Two calls would do, were it not for a shutdown between them, which would apply the update. One call
takes both: ostree_sysroot_stage_tree_with_options(), where `locked` is one field of its options
(OstreeSysrootDeployTreeOpts, libostree 2023.8) and `override_kernel_argv` another. That is a
list of texts in C; libostree's introspection data lacks the annotation that says so, wherefore
the bindings take it for a single text, and refuse a list. So it was in all versions that we tried,
from 2025.2 to 2026.4; we know of no report of it, and of no version to wait for.

Once the bindings take a list, all of this is an assignment:
`tests/system/host/test_staging_locked.py` fails then, and when they keep their structures
in another way than they do now.
"""

import ctypes
from collections.abc import Sequence

from bootcpy.errors import BootcpyError
from bootcpy.ostree.base.bindings import GLib, OSTree


class DeployOptions(ctypes.Structure):
    """The start of OstreeSysrootDeployTreeOpts, of libostree's stable interface."""

    _fields_ = (
        ("locked", ctypes.c_int),
        ("unused_bools", ctypes.c_int * 7),
        ("unused_ints", ctypes.c_int * 8),
        ("override_kernel_argv", ctypes.c_void_p),
    )


def stage_locked(
    sysroot: OSTree.Sysroot,
    stateroot: str,
    commit: str,
    origin: GLib.KeyFile,
    merge: OSTree.Deployment | None,
    kargs: Sequence[str],
) -> None:
    """Stage `commit` with the kernel arguments `kargs`, held back from the first moment on.

    Raises:
        BootcpyError: libostree or its bindings cannot.
        gi.repository.GLib.Error: libostree fails.
    """
    require_locks(sysroot)
    options = OSTree.SysrootDeployTreeOpts()
    options.locked = True  # type: ignore[attr-defined]  # newer than the stubs: libostree 2023.8
    structure = structure_of(options)
    texts = [param.encode() for param in kargs]
    arguments = (ctypes.c_char_p * (len(texts) + 1))(*texts, None)  # alive until libostree returns
    structure.override_kernel_argv = ctypes.addressof(arguments)
    sysroot.stage_tree_with_options(stateroot, commit, origin, merge, options, None)


def structure_of(options: object) -> DeployOptions:
    """Return the C structure below `options` of the bindings, in which `locked` is set.

    Raises:
        BootcpyError: these bindings keep it elsewhere, or it looks otherwise.
    """
    address = hash(options)
    if f"(void at {address:#x})" in repr(options):  # so it is in every PyGObject so far
        structure = DeployOptions.from_address(address)
        if structure.locked == 1 and structure.override_kernel_argv is None:
            return structure
    raise BootcpyError(
        "this version of PyGObject cannot hold back a staged deployment",
        hint="omit --download-only, or install another version of PyGObject",
    )


def require_locks(sysroot: OSTree.Sysroot) -> None:
    """Refuse where libostree cannot hold back what is staged.

    Raises:
        BootcpyError: naming the version that is needed.
    """
    if not hasattr(sysroot, "change_finalization"):
        raise BootcpyError(
            "this libostree cannot hold a staged deployment back",
            hint="it needs libostree 2023.8 or newer",
        )
