"""GRUB onto partitions: the real tools, the image's own boot loader files."""

import json
import subprocess
from pathlib import Path

import pytest

from bootcpy.errors import TargetError
from bootcpy.model.boot.bls import Entry
from bootcpy.model.boot.grub_menu import grub_menu
from bootcpy.model.install.layout import Filesystem
from bootcpy.model.install.target_tree import BiosBoot
from bootcpy.system.boot import bios_boot, esp
from tests.refusals import refused
from tests.system.support.boot_files import IN_CONTAINER, MIB, make_disk, make_esp, mounted

pytestmark = IN_CONTAINER

ROOT = Path("/")
UUID = "0fb2a6a1-3d0c-4c3f-9d3e-0a5a0d3c1b2a"
NASTY = Entry(
    id="ostree-2",
    title='Bob\'s $HOME "distro" {1}; reboot #x \\',
    version="2",
    linux="/boot/ostree/default-b/vmlinuz 6.12",
    initrd=("/boot/it's.img",),
    options='root=UUID=u dyndbg="file a.c +p; file b.c +p" a=$(x) b=`y` } { c=\'d',
    devicetree="/boot/x.dtb",
    grub_users="",
)


def table(disk: Path) -> object:
    done = subprocess.run(["sfdisk", "--json", str(disk)], check=True, capture_output=True)
    return json.loads(done.stdout)


def bios_partition(disk: Path, size_bytes: int = MIB) -> BiosBoot:
    return BiosBoot(disk=disk, start_bytes=MIB, size_bytes=size_bytes, sector_bytes=512)


def test_bios_install_keeps_the_partition_table(tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "disk.img")
    before = table(disk)
    bios_boot.install(bios_partition(disk), image_root=ROOT, root_uuid=UUID)
    assert table(disk) == before
    content = disk.read_bytes()
    boot_image = (ROOT / bios_boot.GRUB_PC / "boot.img").read_bytes()
    assert content[:0x5C] == boot_image[:0x5C]
    assert content[0x5C:0x65] == (2048).to_bytes(8, "little") + b"\xff"
    assert content[0x66:0x68] == b"\x90\x90"
    assert content[0x68:440] == boot_image[0x68:440]
    assert content[510:512] == b"\x55\xaa"
    # GRUB's own first sector of the core image, except for the list of blocks at its end.
    disk_boot = (ROOT / bios_boot.GRUB_PC / "diskboot.img").read_bytes()
    assert content[MIB : MIB + 500] == disk_boot[:500]
    sectors = int.from_bytes(content[MIB + 508 : MIB + 510], "little")
    assert content[MIB + 500 : MIB + 508] == (2049).to_bytes(8, "little")
    core_end = MIB + 512 * (1 + sectors)
    assert any(content[core_end - 512 : core_end])
    assert not any(content[core_end : 2 * MIB])


def test_bios_install_refuses_a_partition_that_is_too_small(tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "disk.img")
    before = disk.read_bytes()
    hint = "use another version of grub-pc-bin in the image, or --bootloader none"
    with refused(TargetError, "only 65536", hint=hint):
        bios_boot.install(bios_partition(disk, 65536), image_root=ROOT, root_uuid=UUID)
    assert disk.read_bytes() == before


def test_esp_holds_what_was_planned(tmp_path: Path) -> None:
    device = make_esp(tmp_path / "esp.img")
    files = esp.planned_files(ROOT, machine="x86_64", root_uuid=UUID)
    esp.write(device, files, image_root=ROOT, timestamp_s=None)
    assert len(files) > 2
    for each in files:
        copy = tmp_path / "copy"
        command = ["mcopy", "-n", "-i", str(device), f"::/{each.path}", str(copy)]
        subprocess.run(command, check=True, env={"MTOOLS_SKIP_CHECK": "1", "PATH": "/usr/bin"})
        wanted = each.text.encode() if each.source is None else (ROOT / each.source).read_bytes()
        assert copy.read_bytes() == wanted, each.path
        copy.unlink()
    assert (tmp_path / "esp.img").stat().st_size == 64 * MIB


def test_esp_is_reproducible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    contents = []
    for name in ("a", "b"):
        device = make_esp(tmp_path / name)
        files = esp.planned_files(ROOT, machine="x86_64", root_uuid=UUID)
        monkeypatch.setenv("TZ", "UTC" if name == "a" else "Asia/Tokyo")
        esp.write(device, files, image_root=ROOT, timestamp_s=1700000000)
        contents.append(device.read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.parametrize("filesystem", list(Filesystem))
def test_grub_reads_the_menu_through_its_links(tmp_path: Path, filesystem: Filesystem) -> None:
    with mounted(tmp_path, filesystem=filesystem) as root:
        loader = root / "boot/loader.1"
        loader.mkdir(parents=True)
        (root / "boot/loader").symlink_to("loader.1")
        (root / "boot/grub").mkdir()
        (root / "boot/grub/grub.cfg").symlink_to("../loader/grub.cfg")
        (loader / "grub.cfg").write_text("# the menu\n", encoding="utf-8")
    command = ["grub-fstest", str(tmp_path / f"{filesystem}.img"), "cat"]
    command.append("(loop0)/boot/grub/grub.cfg")
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "# the menu\n"


def test_grub_parses_the_menu(tmp_path: Path) -> None:
    menu = tmp_path / "grub.cfg"
    menu.write_text(grub_menu([NASTY]), encoding="utf-8")
    subprocess.run(["grub-script-check", str(menu)], check=True)


def test_grub_parses_the_stub(tmp_path: Path) -> None:
    stub = tmp_path / "grub.cfg"
    stub.write_text(esp.stub_config(UUID), encoding="utf-8")
    subprocess.run(["grub-script-check", str(stub)], check=True)
