"""An installed disk boots, is what the image is, and behaves as an image-based host does."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.vm.conftest import Boot, Resume
from tests.vm.updates import plug_in, push, trust
from tools import image, qemu, steps
from tools.guest import Guest
from tools.installed_disk import run_on_root
from tools.qemu import Firmware
from tools.registry import Registry

_NAME = "host:v1"
# A UEFI variable: four bytes of attributes, then the value.
SECURE_BOOT_VARIABLE = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


def test_installed_disk_boots_and_keeps_what_is_the_machines(
    built_image: image.BuiltImage, resume: Resume
) -> None:
    with resume() as guest:  # which has booted from ext4 before any other test
        check_host(guest, built_image, "ext4", Firmware.UEFI)
        guest.run("echo kept > /var/lib/probe; echo kept > /etc/probe; sync")

        guest.reboot()

        guest.wait_until_running()
        assert guest.run("cat /var/lib/probe /etc/probe").stdout == "kept\nkept\n"
        guest.poweroff()


@pytest.mark.parametrize(
    ("filesystem", "firmware"),
    [
        pytest.param("xfs", Firmware.SECURE_BOOT, id="xfs-secure-boot"),
        pytest.param("btrfs", Firmware.BIOS, id="btrfs-bios"),
    ],
)
def test_installed_disk_boots(
    filesystem: str,
    firmware: Firmware,
    built_image: image.BuiltImage,
    base_disk: Callable[[str], Path],
    overlay: Callable[[Path], qemu.Disk],
    boot: Boot,
) -> None:
    with boot(overlay(base_disk(filesystem)), firmware=firmware) as guest:
        guest.wait_until_running()
        check_host(guest, built_image, filesystem, firmware)
        guest.poweroff()


def test_installed_repository_is_intact(
    built_image: image.BuiltImage, base_disk: Callable[[str], Path]
) -> None:
    """Looked at from outside, where it takes seconds instead of minutes."""
    said = run_on_root(built_image, base_disk("ext4"), "ostree fsck --repo=ostree/repo")

    assert re.search(r"fsck of [1-9]\d* commits completed successfully", said)


@pytest.mark.slow
def test_install_inside_a_guest_onto_its_second_disk(
    built_image: image.BuiltImage,
    registry: Registry,
    results: Path,
    resume: Resume,
    boot: Boot,
) -> None:
    """A kernel that scans partitions, a real (virtio) disk, podman as on a user's machine."""
    second = qemu.blank(results / "second.img", 8 << 30)
    push(built_image, registry, _NAME)
    name = registry.from_guest(_NAME)
    with resume() as guest:
        trust(guest, registry)
        plug_in(guest, second, name="/dev/vdb")
        with steps.step("Pulling the image in the guest"):
            steps.run(guest.remote(f"podman pull --quiet {name}"))
        with steps.step("Installing onto the guest's second disk"):
            install = (
                "podman run --rm --privileged --pid=host"
                " -v /dev:/dev -v /var/lib/containers:/var/lib/containers"
                f" {name} bootc install to-disk --filesystem xfs /dev/vdb"
            )
            steps.run(guest.remote(install))
        assert "/dev/vdb" not in guest.run("findmnt --noheadings --output SOURCE").stdout
        assert "shimx64.efi" in guest.run("efibootmgr").stdout
        guest.poweroff()

    with boot(second) as guest:
        guest.wait_until_running()
        check_root(guest, "xfs")
        check_booted(guest, built_image.digest)


def check_host(guest: Guest, built: image.BuiltImage, filesystem: str, firmware: Firmware) -> None:
    check_firmware(guest, firmware)
    check_root(guest, filesystem)
    check_booted(guest, built.digest)
    check_what_is_writable(guest)
    check_packages(guest)


def check_firmware(guest: Guest, firmware: Firmware) -> None:
    assert guest.run("test -d /sys/firmware/efi", check=False).status == (
        1 if firmware is Firmware.BIOS else 0
    )
    if firmware is Firmware.SECURE_BOOT:
        variable = guest.run(f"od -An -t u1 -j 4 {SECURE_BOOT_VARIABLE}").stdout
        assert variable.split() == ["1"]
        assert "[none]" not in guest.run("cat /sys/kernel/security/lockdown").stdout


def check_root(guest: Guest, filesystem: str) -> None:
    assert guest.run("findmnt -no FSTYPE /sysroot").stdout.split()[0] == filesystem


def check_booted(guest: Guest, digest: str) -> None:
    host = json.loads(guest.run("bootc status --json").stdout)
    assert host["status"]["booted"]["image"]["imageDigest"] == digest
    assert host["status"]["staged"] is None
    assert host["status"]["rollback"] is None


def check_what_is_writable(guest: Guest) -> None:
    for directory in ("/usr", "/usr/local", "/sysroot"):
        refused = guest.run(f"touch {directory}/probe", check=False)
        assert "Read-only file system" in refused.stderr
    assert guest.run("touch /probe", check=False).status != 0
    for directory in ("/etc", "/var", "/root", "/home", "/srv", "/mnt", "/tmp"):
        guest.run(f"touch {directory}/probe && rm {directory}/probe")


def check_packages(guest: Guest) -> None:
    packages = guest.run("dpkg -l | grep -c ^ii").stdout
    assert int(packages) > 100
    assert "not found" not in guest.run("dpkg --audit").stdout
