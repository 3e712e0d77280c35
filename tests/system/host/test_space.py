"""Updates that do not fit: refused before the first layer, or clean when the guess was wrong."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bootcpy.model.image.reference import SignedImageReference, escape_ref
from tests.system.support.booted_host import BootedHost
from tests.system.support.faulty_registry import FaultyRegistry, serving
from tests.system.support.installed_host import installed
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, KERNEL, Files, write_image

pytestmark = IN_CONTAINER

_MIB = 1 << 20
_DISK_BYTES = 64 * _MIB
_RUNNING = BASE | {f"{KERNEL}/vmlinuz": os.urandom(600_000)}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[FaultyRegistry]:
    with serving(tmp_path / "served") as running:
        write_image(running.layout, [_RUNNING])
        yield running


@pytest.fixture
def host(tmp_path: Path, registry: FaultyRegistry) -> Iterator[BootedHost]:
    """A host that follows the registry, on an ext4 of 64 MiB."""
    disk, image = tmp_path / "disk", tmp_path / "disk.img"
    image.touch()
    os.truncate(image, _DISK_BYTES)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    disk.mkdir()
    subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    origin = SignedImageReference.parse(f"ostree-unverified-registry:{registry.name}")
    with installed(disk, registry.layout, kargs=["rw"], origin=origin) as host:
        yield host
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture
def environment(tmp_path: Path, registry: FaultyRegistry) -> dict[str, str]:
    """Lets skopeo talk to the registry without TLS."""
    file = tmp_path / "home/.config/containers/registries.conf"
    file.parent.mkdir(parents=True)
    file.write_text(registry.configuration, encoding="utf-8")
    return {"HOME": str(tmp_path / "home")}


def _free_bytes(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_bfree * found.f_frsize


def _fill(path: Path, *, but_bytes: int) -> Path:
    """Leave only so much free where `path` is."""
    filler = path / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, _free_bytes(path) - but_bytes)
    return filler


def _layers(registry: FaultyRegistry) -> list[str]:
    return [layer["digest"] for layer in json.loads(registry.manifest())["layers"]]


_IN_BOOT = "remove other files from /boot, or unpin old deployments (ostree admin pin)"


def _error(finished: "subprocess.CompletedProcess[str]", *, hint: str) -> str:
    """Return the error that ended a command with this hint."""
    assert finished.returncode == 1, finished.stdout
    lines = finished.stderr.splitlines()
    line, advice = [line for line in lines if line.startswith(("error: ", "hint: "))]
    assert advice == f"hint: {hint}"
    return line.removeprefix("error: ")


def _staged(host: BootedHost) -> str | None:
    staged = host.status()["status"]["staged"]
    return None if staged is None else str(staged["image"]["imageDigest"])


def test_what_cannot_fit_is_refused_before_the_first_layer(
    host: BootedHost, registry: FaultyRegistry, environment: dict[str, str]
) -> None:
    second = write_image(
        registry.layout, [_RUNNING, {"usr/new": os.urandom(8 * _MIB)}], version="2"
    )
    filler = _fill(host.root, but_bytes=9 * _MIB)
    registry.requested.clear()
    hint = "free some space there, or use a larger disk"
    message = _error(host.bootc("upgrade", environment=environment), hint=hint)
    assert message.startswith(f"Insufficient free space for {registry.name} (available: ")
    assert "required: 8 MiB): 8 MiB to download, about 24 MiB unpacked; " in message
    assert " are free in /sysroot/ostree/repo, of which libostree keeps " in message
    assert not {*_layers(registry)} & {*registry.requested}
    assert _staged(host) is None

    filler.unlink()
    assert host.bootc("upgrade", environment=environment).returncode == 0
    assert _staged(host) == second
    host.reboot()
    assert host.status()["status"]["booted"]["image"]["imageDigest"] == second


def test_a_rebuilt_layer_needs_no_room_for_files_that_are_here(
    host: BootedHost, registry: FaultyRegistry, environment: dict[str, str]
) -> None:
    # Before 2026.3, libostree counts these files too when it watches over a reserve.
    host.ostree("config", "set", "core.min-free-space-percent", "0")
    files: Files = {f"usr/{number}": os.urandom(_MIB) for number in range(8)}
    write_image(registry.layout, [_RUNNING, files], version="2")
    assert host.bootc("upgrade", environment=environment).returncode == 0
    third = write_image(registry.layout, [_RUNNING, {**files, "usr/new": "x"}], version="3")
    _fill(host.root, but_bytes=6 * _MIB)
    finished = host.bootc("upgrade", environment=environment)
    assert finished.returncode == 0, finished.stderr
    assert "the image may not fit: 8 MiB to download, about 24 MiB unpacked; " in finished.stderr
    assert _staged(host) == third


@pytest.mark.parametrize(
    ("reserve", "cause"), [("3", "min-free-space-percent"), ("0", "No space left on device")]
)
def test_what_was_thought_to_fit_and_does_not_leaves_whole_layers(
    host: BootedHost,
    registry: FaultyRegistry,
    environment: dict[str, str],
    reserve: str,
    cause: str,
) -> None:
    host.ostree("config", "set", "core.min-free-space-percent", reserve)
    unpacks: Files = {f"usr/{n}": bytes([n]) * 8 * _MIB for n in range(3)}
    alone: Files = {"usr/noise": os.urandom(_MIB // 2)}  # as a blob too large to share a child
    layers: list[Files] = [_RUNNING, {"usr/small": "x"}, {**unpacks, **alone}]
    second = write_image(registry.layout, layers, version="2")
    _, small, large = _layers(registry)
    filler = _fill(host.root, but_bytes=20 * _MIB)
    before = _free_bytes(host.root)
    registry.stalled = large
    with ThreadPoolExecutor() as pool:
        running = pool.submit(host.bootc, "upgrade", environment=environment)
        while not running.done() and escape_ref(small) not in host.ostree("refs"):
            time.sleep(0.1)
        registry.go_on.set()
        finished = running.result()
    hint = "free some space there and run the command again; complete layers are kept"
    message = _error(finished, hint=hint)
    assert message.startswith(f"{registry.name} does not fit: ")
    assert cause in message, message
    assert "about " in message
    assert _staged(host) is None
    # What was begun is gone, but for a few directories.
    assert before - _free_bytes(host.root) < _MIB // 2

    filler.unlink()
    registry.requested.clear()
    assert host.bootc("upgrade", environment=environment).returncode == 0
    assert _staged(host) == second
    assert {small, large} & {*registry.requested} == {large}
    host.ostree("fsck", "--quiet")


def test_a_deployment_that_does_not_fit_leaves_nothing(
    host: BootedHost, registry: FaultyRegistry, environment: dict[str, str]
) -> None:
    host.ostree("config", "set", "core.min-free-space-percent", "0")
    directories: Files = {f"usr/lib/d{number}/": b"" for number in range(3000)}
    second = write_image(registry.layout, [_RUNNING, directories], version="2")
    assert host.bootc("upgrade", "--download-only", environment=environment).returncode == 0
    host.reboot()
    filler = _fill(host.root, but_bytes=4 * _MIB)
    before = _free_bytes(host.root)
    finished = host.bootc("upgrade", "--from-downloaded", environment=environment)
    message = _error(finished, hint="free some space, or use a larger disk")
    assert message.startswith("cannot stage ")
    assert message.endswith(": No space left on device")
    assert _staged(host) is None
    assert before - _free_bytes(host.root) < _MIB // 2

    filler.unlink()
    assert host.bootc("upgrade", "--from-downloaded", environment=environment).returncode == 0
    assert _staged(host) == second


@pytest.fixture
def small_boot(host: BootedHost) -> Iterator[Path]:
    """A /boot of its own with 1 MiB, of which the kernel that runs takes most."""
    boot = host.root / "boot"
    moved = boot.rename(host.root / "boot-before")
    boot.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", boot], check=True)
    subprocess.run(["cp", "-a", f"{moved}/.", boot], check=True)
    shutil.rmtree(moved)
    yield boot
    subprocess.run(["umount", boot], check=True)


def test_a_kernel_that_is_sure_not_to_fit_is_not_fetched(
    host: BootedHost, registry: FaultyRegistry, environment: dict[str, str], small_boot: Path
) -> None:
    (small_boot / "filler").write_bytes(bytes(200_000))
    other: Files = {"usr/lib/modules/6.13.0-test/vmlinuz": os.urandom(600_000)}
    layers: list[Files] = [_RUNNING, other]
    write_image(registry.layout, layers, version="2", labels={"ostree.linux": "6.13.0-test"})
    registry.requested.clear()
    message = _error(host.bootc("upgrade", environment=environment), hint=_IN_BOOT)
    assert message.startswith(
        f"Insufficient free space for the kernel of {registry.name} in /boot (available: "
    )
    assert message.endswith(" required: about 592 KiB, like the running kernel)")
    assert not {*_layers(registry)} & {*registry.requested}


def test_a_kernel_that_may_not_fit_is_told_of_and_refused_when_it_is_here(
    host: BootedHost, registry: FaultyRegistry, environment: dict[str, str], small_boot: Path
) -> None:
    changed: Files = {f"{KERNEL}/vmlinuz": os.urandom(600_000)}
    second = write_image(registry.layout, [_RUNNING, changed], version="2")
    finished = host.bootc("upgrade", environment=environment)
    message = _error(finished, hint=_IN_BOOT)
    assert message.startswith("Insufficient free space for the kernel in /boot (available: ")
    assert "another kernel may not fit into /boot (available: " in finished.stderr
    assert _staged(host) is None

    # What was fetched is not fetched again.
    subprocess.run(["mount", "-o", "remount,size=4m", small_boot], check=True)
    registry.requested.clear()
    assert host.bootc("upgrade", environment=environment).returncode == 0
    assert _staged(host) == second
    assert not {*_layers(registry)} & {*registry.requested}


def test_an_update_without_a_kernel_needs_no_room_in_boot(
    host: BootedHost, registry: FaultyRegistry, environment: dict[str, str], small_boot: Path
) -> None:
    (small_boot / "filler").write_bytes(bytes(300_000))
    labels = {"ostree.linux": "6.12.0-test"}
    second = write_image(registry.layout, [_RUNNING, {"usr/n": "x"}], version="2", labels=labels)
    finished = host.bootc("upgrade", environment=environment)
    assert finished.returncode == 0, finished.stderr
    assert "/boot" not in finished.stderr
    assert _staged(host) == second
    host.reboot()
    assert host.status()["status"]["booted"]["image"]["imageDigest"] == second
