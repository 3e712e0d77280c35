"""Kernel arguments with an owner, with a libostree that can keep them; others refuse."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from gi.repository import OSTree  # its version was chosen by the host

from bootcpy.model.boot.owned_kargs import read_sources
from tests.system.support.booted_host import BootedHost
from tests.system.support.installed_host import installed
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, write_image

pytestmark = IN_CONTAINER

_KARGS_D = "usr/lib/bootc/kargs.d/10.toml"


@pytest.fixture
def host(tmp_path: Path, layout: Path) -> Iterator[BootedHost]:
    write_image(layout, [BASE])
    with installed(tmp_path, layout, kargs=["rw", "quiet"]) as host:
        yield host


def _set(host: BootedHost, source: str, *options: str) -> str:
    """Set the arguments of `source`, and return the answer."""
    words = ("loader-entries", "set-options-for-source", "--source", source)
    finished = host.bootc(*words, *(f"--options={text}" for text in options))
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def _refuses(host: BootedHost) -> bool:
    """Tell whether this libostree is too old; then the command must say so and do nothing."""
    if OSTree.check_version(2026, 1):
        return False
    before = host.status()
    words = ("loader-entries", "set-options-for-source", "--source", "tuned")
    finished = host.bootc(*words, "--options", "a=1")
    version = f"{OSTree.YEAR_VERSION}.{OSTree.RELEASE_VERSION}"
    assert finished.returncode == 1
    assert finished.stderr == (
        "error: This feature requires ostree >= 2026.1 for bootconfig-extra support; "
        f"this is {version}\n"
        "hint: write an image's kernel arguments to /usr/lib/bootc/kargs.d\n"
    )
    assert host.status() == before
    return True


def _booted(host: BootedHost) -> tuple[list[str], dict[str, str]]:
    """Return the kernel arguments, and their owners, of what boots first."""
    entry = max((host.root / "boot/loader/entries").iterdir()).read_text(encoding="utf-8")
    return host.kargs()[:-1], read_sources(entry)


def _upgrade(host: BootedHost, *words: str) -> None:
    finished = host.bootc("upgrade", *words)
    assert finished.returncode == 0, finished.stderr


def test_a_source_is_set_changed_and_removed_from_boot_to_boot(host: BootedHost) -> None:
    if _refuses(host):
        return
    assert _set(host, "tuned", "a=1 b") == "Staged the kernel arguments of source 'tuned'\n"
    required = (host.run_directory / "reboot-required").read_text(encoding="utf-8")
    assert required == "bootc: Reboot required for kernel arguments of source 'tuned'\n"
    host.reboot()
    assert _booted(host) == (["rw", "quiet", "a=1", "b"], {"tuned": "a=1 b"})
    assert host.status()["status"]["rollback"] is not None

    assert _set(host, "tuned", "a=1 b") == "No changes needed for source 'tuned'\n"
    assert host.status()["status"]["staged"] is None

    _set(host, "tuned", "a=2")
    host.reboot()
    assert _booted(host) == (["rw", "quiet", "a=2"], {"tuned": "a=2"})

    _set(host, "tuned")
    host.reboot()
    assert _booted(host) == (["rw", "quiet"], {"tuned": ""})
    assert _set(host, "tuned") == "No changes needed for source 'tuned'\n"
    assert _set(host, "tuned", "") == "No changes needed for source 'tuned'\n"

    _set(host, "tuned", "a=3")
    host.reboot()
    assert _booted(host) == (["rw", "quiet", "a=3"], {"tuned": "a=3"})


def test_several_sources_are_set_before_one_reboot(host: BootedHost) -> None:
    if _refuses(host):
        return
    _set(host, "tuned", "a=1")
    _set(host, "admin", "b quiet")
    _set(host, "tuned", "a=2")
    _set(host, "gone", "c")
    _set(host, "gone")
    host.reboot()
    kargs, sources = _booted(host)
    assert kargs == ["rw", "quiet", "a=2", "b"]
    assert sources == {"tuned": "a=2", "admin": "b quiet", "gone": ""}


@pytest.mark.parametrize("first", ["source", "upgrade"])
def test_an_upgrade_and_a_source_do_not_lose_each_other(
    host: BootedHost, layout: Path, first: str
) -> None:
    if _refuses(host):
        return
    _set(host, "admin", "z")
    host.reboot()
    write_image(layout, [BASE, {_KARGS_D: 'kargs = ["k=1"]'}], version="2")
    if first == "source":
        _set(host, "tuned", "a=1")
        _upgrade(host)
    else:
        _upgrade(host)
        _set(host, "tuned", "a=1")
    host.reboot()
    status = host.status()["status"]
    assert status["booted"]["image"]["version"] == "2"
    assert status["booted"]["image"]["image"]["image"] == str(layout)
    kargs, sources = _booted(host)
    assert sorted(kargs) == sorted(["rw", "quiet", "z", "a=1", "k=1"])
    assert sources == {"admin": "z", "tuned": "a=1"}
    host.bootc("rollback")
    assert _booted(host) == (["rw", "quiet", "z"], {"admin": "z"})


def test_sources_are_carried_over_by_upgrades(host: BootedHost, layout: Path) -> None:
    if _refuses(host):
        return
    _set(host, "tuned", "a=1 k=1")
    host.reboot()
    for version, kargs_d in (("2", 'kargs = ["k=1", "m"]'), ("3", "kargs = []")):
        write_image(layout, [BASE, {_KARGS_D: kargs_d}], version=version)
        _upgrade(host)
        host.reboot()
        more = ["m"] if version == "2" else []
        assert _booted(host) == (["rw", "quiet", "a=1", "k=1", *more], {"tuned": "a=1 k=1"})


def test_what_is_held_back_stays_held_back(host: BootedHost, layout: Path) -> None:
    if _refuses(host):
        return
    write_image(layout, [BASE, {"usr/new": "2"}], version="2")
    _upgrade(host, "--download-only")
    assert _set(host, "tuned", "a=1").splitlines() == [
        "Staged the kernel arguments of source 'tuned'",
        "Image downloaded, but will not be applied on reboot",
    ]
    assert host.status()["status"]["staged"]["downloadOnly"] is True
    _upgrade(host, "--from-downloaded")
    host.reboot()
    assert host.status()["status"]["booted"]["image"]["version"] == "2"
    assert _booted(host) == (["rw", "quiet", "a=1"], {"tuned": "a=1"})


def test_what_does_not_fit_into_a_boot_entry_is_refused(host: BootedHost) -> None:
    words = ("loader-entries", "set-options-for-source", "--source")
    for bad, status in (
        (("a b",), 1),
        (("",), 1),
        (("tuned", "--options", 'a="b'), 2),
        (("tuned", "--options", "ostree=/x"), 2),
        ((), 2),
    ):
        finished = host.bootc(*words, *bad)
        assert finished.returncode == status, finished.stderr
    assert host.status()["status"]["staged"] is None


@pytest.mark.parametrize("local", [["local=1"], []])
def test_a_switch_starts_with_the_arguments_that_another_program_has_staged(
    host: BootedHost, layout: Path, local: list[str]
) -> None:
    origin = host.root.parent / "staged-origin"
    origin.write_text("[origin]\nrefspec=x:y\n", encoding="utf-8")
    commit = host.status()["status"]["booted"]["ostree"]["checksum"]
    where = ("--stage", "--os=default", f"--origin-file={origin}")
    host.admin("deploy", *where, *(f"--karg-append={param}" for param in local), commit)
    write_image(layout, [BASE, {_KARGS_D: 'kargs = ["k=1"]'}], version="2")
    switched = host.bootc("switch", "--transport", "oci", str(layout))
    assert switched.returncode == 0, switched.stderr
    host.reboot()
    assert host.kargs()[:-1] == ["rw", "quiet", *local, "k=1"]
