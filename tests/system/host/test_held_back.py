"""Updates that are held back from boots, also when the process that stages them is killed."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.support.booted_host import BootedHost
from tests.system.support.installed_host import installed
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, write_image

pytestmark = IN_CONTAINER

_LOCK_FILE = "ostree/staged-deployment-locked"
_KARGS_D = "usr/lib/bootc/kargs.d"
_KILLED = 9
# bootc, killed as soon as a call of libostree has staged something.
_KILLED_ONCE_STAGED = """
import os, sys
from bootcpy.ostree.base.bindings import OSTree
def killed_after(call):
    return lambda *arguments: (call(*arguments), os._exit(9))
for name in ("stage_tree", "stage_tree_with_options"):
    setattr(OSTree.Sysroot, name, killed_after(getattr(OSTree.Sysroot, name)))
from bootcpy.cli.app import main
sys.exit(main())
"""


_FAILING = """
import sys
from bootcpy.ostree.base.bindings import Gio, GLib, OSTree
def fail(*_):
    raise GLib.Error.new_literal(Gio.io_error_quark(), "no", Gio.IOErrorEnum.FAILED)
OSTree.Sysroot.stage_tree = OSTree.Sysroot.stage_tree_with_options = fail
from bootcpy.cli.app import main
sys.exit(main())
"""


@pytest.fixture
def host(tmp_path: Path, layout: Path) -> Iterator[BootedHost]:
    """A host that runs version 1 of the image in `layout`; version 2 is there."""
    write_image(layout, [BASE])
    with installed(tmp_path, layout, kargs=["rw"]) as host:
        write_image(layout, [BASE, {"usr/new": "2"}], version="2")
        yield host


def _versions(host: BootedHost) -> dict[str, str | None]:
    status = host.status()["status"]
    return {
        slot: status[slot] and status[slot]["image"]["version"] for slot in ("staged", "booted")
    }


def _answer(host: BootedHost, *words: str) -> str:
    finished = host.bootc(*words)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()[0]


@pytest.mark.parametrize("replaces", [False, True])
def test_a_download_is_held_back_from_the_moment_it_is_staged(
    host: BootedHost, layout: Path, *, replaces: bool
) -> None:
    if replaces:
        _answer(host, "upgrade")
        write_image(layout, [BASE | {f"{_KARGS_D}/a.toml": 'kargs = ["a=3"]'}], version="3")
    finished = subprocess.run(
        host.command("python3", "-c", _KILLED_ONCE_STAGED, "upgrade", "--download-only"),
        env=host.environment(),
        check=False,
    )
    assert finished.returncode == _KILLED
    assert host.status()["status"]["staged"]["downloadOnly"] is True
    assert _versions(host) == {"staged": "3" if replaces else "2", "booted": "1"}
    host.reboot()
    assert _versions(host) == {"staged": None, "booted": "1"}


def test_what_is_held_back_has_the_kernel_arguments_of_its_image(
    host: BootedHost, layout: Path
) -> None:
    write_image(layout, [BASE | {f"{_KARGS_D}/a.toml": 'kargs = ["a=ü", "b"]'}], version="3")
    _answer(host, "upgrade", "--download-only")
    _answer(host, "upgrade", "--from-downloaded")
    host.reboot()
    assert host.kargs()[:-1] == ["rw", "a=ü", "b"]


@pytest.mark.parametrize(
    ("words", "answer", "held"),
    [
        (("--download-only",), "Image downloaded, but will not be applied on reboot", True),
        (("--from-downloaded",), "Staged deployment will now be applied on reboot", False),
        ((), "Staged deployment will now be applied on reboot", False),
    ],
)
def test_what_another_program_holds_back_by_its_file_is_held_back_or_released_as_any_other(
    host: BootedHost, words: tuple[str, ...], answer: str, *, held: bool
) -> None:
    _answer(host, "upgrade")
    (host.run_directory / _LOCK_FILE).touch()
    assert host.status()["status"]["staged"]["downloadOnly"] is True
    assert _answer(host, "upgrade", *words) == answer
    assert host.status()["status"]["staged"]["downloadOnly"] is held
    host.reboot()
    assert _versions(host)["booted"] == ("1" if held else "2")


def test_a_file_that_another_program_left_does_not_hold_back_what_is_staged_later(
    host: BootedHost,
) -> None:
    (host.run_directory / "ostree").mkdir()
    (host.run_directory / _LOCK_FILE).touch()
    _answer(host, "upgrade")
    host.reboot()
    assert _versions(host)["booted"] == "2"


def test_a_download_that_fails_leaves_the_staged_update_as_it_was(
    host: BootedHost, layout: Path
) -> None:
    _answer(host, "upgrade")
    write_image(layout, [BASE, {"usr/new": "3"}], version="3")
    finished = subprocess.run(
        host.command("python3", "-c", _FAILING, "upgrade", "--download-only"),
        env=host.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1
    error, advice = finished.stderr.splitlines()[-2:]
    assert error.startswith("error: cannot stage ")
    assert advice == "hint: see what `ostree fsck` and the kernel's messages (`dmesg`) say"
    assert host.status()["status"]["staged"]["downloadOnly"] is False
    host.reboot()
    assert _versions(host)["booted"] == "2"
