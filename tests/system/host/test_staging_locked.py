"""What `ostree/host/staging_locked.py` assumes of the bindings, and why it is there."""

import ctypes
from typing import Any, Protocol, cast

import pytest

from bootcpy.errors import BootcpyError
from bootcpy.ostree.base.bindings import OSTree
from bootcpy.ostree.host.staging_locked import DeployOptions, structure_of


class _Options(Protocol):
    """What the stubs leave out."""

    locked: bool
    override_kernel_argv: object


@pytest.fixture
def options() -> _Options:
    made = cast("_Options", OSTree.SysrootDeployTreeOpts())
    made.locked = True
    return made


def test_the_bindings_still_refuse_a_list(options: _Options) -> None:
    """If this fails, delete staging_locked.py: an assignment does the same."""
    with pytest.raises(TypeError):
        options.override_kernel_argv = ["rw", "quiet"]


def test_the_structure_is_that_of_the_introspection_data() -> None:
    info: Any = OSTree.SysrootDeployTreeOpts
    found = {field.get_name(): field.get_offset() for field in info.__info__.get_fields()}
    assert {name: found[name] for name in ("locked", "override_kernel_argv")} == {
        "locked": DeployOptions.locked.offset,
        "override_kernel_argv": DeployOptions.override_kernel_argv.offset,
    }


def test_what_the_bindings_write_is_what_we_read_and_the_other_way_round(options: _Options) -> None:
    structure = structure_of(options)
    text = ctypes.c_char_p(b"a text, as the bindings take it for")
    structure.override_kernel_argv = ctypes.cast(text, ctypes.c_void_p).value
    assert options.override_kernel_argv == "a text, as the bindings take it for"
    structure.override_kernel_argv = None
    options.locked = False
    assert structure.locked == 0


class _KeptElsewhere:
    """Options of bindings that hash, or show, an object in another way."""


def test_bindings_that_keep_their_structures_elsewhere_are_refused() -> None:
    with pytest.raises(BootcpyError, match="PyGObject cannot hold back"):
        structure_of(_KeptElsewhere())


def test_a_structure_that_looks_otherwise_is_refused() -> None:
    with pytest.raises(BootcpyError, match="PyGObject cannot hold back"):
        structure_of(OSTree.SysrootDeployTreeOpts())  # `locked` is not where it was set
