import hashlib
from pathlib import Path

import pytest

from tools import boot_menu

KERNEL = "boot/ostree/default-{}/vmlinuz"
INITRAMFS = "boot/ostree/default-{}/initramfs.img"
BOOTCSUM = hashlib.sha256(b"kernelinitramfs").hexdigest()
ENTRY = """\
title Test
version {version}
options root=UUID=1 ostree=/ostree/boot.0/default/{bootcsum}/{version}
linux /boot/ostree/default-{bootcsum}/vmlinuz
initrd /boot/ostree/default-{bootcsum}/initramfs.img
"""
MENU = """\
# Written from the entries beside this file, each time a deployment changes.
# Write local settings to grub/custom.cfg on the file system that holds /boot.
set default='ostree-1'
set fallback=''
set timeout_style=menu
set timeout=1
if [ -f "${prefix}/custom.cfg" ]; then
  source "${prefix}/custom.cfg"
fi
menuentry 'Test' --unrestricted --id 'ostree-1' {
  linux '/boot/ostree/default-BOOTCSUM/vmlinuz' 'root=UUID=1' 'ostree=/ostree/boot.0/default/BOOTCSUM/1'
  initrd '/boot/ostree/default-BOOTCSUM/initramfs.img'
}
""".replace("BOOTCSUM", BOOTCSUM)  # noqa: E501 - GRUB's lines


@pytest.fixture
def root(tmp_path: Path) -> Path:
    deployed = "ostree/deploy/default/deploy/abc.0"
    files = {
        "boot/loader/entries/ostree-1.conf": ENTRY.format(version=1, bootcsum=BOOTCSUM),
        "boot/loader/grub.cfg": MENU,
        KERNEL.format(BOOTCSUM): "kernel",
        INITRAMFS.format(BOOTCSUM): "initramfs",
        f"{deployed}/usr/bin/bash": "",
        f"{deployed}/usr/lib/os-release": "",
        f"{deployed}/etc/passwd": "",
        f"{deployed}.origin": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "boot/boot").symlink_to(".")
    links = tmp_path / "ostree/boot.0/default" / BOOTCSUM
    links.mkdir(parents=True)
    (links / "1").symlink_to("../../../deploy/default/deploy/abc.0")
    return tmp_path


def problems(root: Path) -> list[str]:
    entries = boot_menu.read_entries(root)
    missing = [line for each in entries for line in boot_menu.deployment_problems(root, each)]
    return [*boot_menu.menu_problems(root, entries), *missing]


def test_a_root_that_boots_has_no_problem(root: Path) -> None:
    assert problems(root) == []
    (entry,) = boot_menu.read_entries(root)
    assert boot_menu.deployment(root, entry).name == "abc.0"


@pytest.mark.parametrize(
    ("changed", "text", "expected"),
    [
        ("boot/loader/grub.cfg", None, "grub.cfg is missing"),
        ("boot/loader/grub.cfg", "", "grub.cfg offers something else than the entries beside it"),
        (KERNEL.format(BOOTCSUM), None, "ostree-1: vmlinuz is missing"),
        (
            INITRAMFS.format(BOOTCSUM),
            "",
            f"ostree-1: the contents of default-{BOOTCSUM} are damaged",
        ),
        (
            f"ostree/boot.0/default/{BOOTCSUM}/1",
            None,
            "ostree-1: there is no deployment 1",
        ),
        (
            "ostree/deploy/default/deploy/abc.0/etc/passwd",
            None,
            "ostree-1: the deployment abc.0 has no etc/passwd",
        ),
        (
            "ostree/deploy/default/deploy/abc.0.origin",
            None,
            "ostree-1: the deployment abc.0 has no ../abc.0.origin",
        ),
    ],
)
def test_what_is_missing_is_named(
    root: Path, changed: str, text: str | None, expected: str
) -> None:
    if text is None:
        (root / changed).unlink()
    else:
        (root / changed).write_text(text, encoding="utf-8")

    assert problems(root) == [expected]
