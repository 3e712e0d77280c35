from pathlib import Path

import pytest

from bootcpy import paths
from bootcpy.errors import BootcpyError, ImageContentError, UsageError
from bootcpy.model.base.progress import Silent
from bootcpy.model.boot.loader import Bootloader
from bootcpy.model.install.target_tree import BiosBoot, TargetTree
from bootcpy.system.boot.bootloader import entries_of_partition, install, require_bootloader
from tests.refusals import refused
from tests.unit.conftest import FakeTool

FILES = {
    "usr/lib/shim/shimx64.efi.signed": b"",
    "usr/lib/shim/mmx64.efi.signed": b"",
    "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed": b"/EFI/debian\0",
    "usr/lib/grub/i386-pc/boot.img": b"",
}
UUID = "5f3c6a00-1111-4222-8333-444455556666"
LISTING = f"""\
BootCurrent: 0003
Timeout: 0 seconds
BootOrder: 0003,0001,000A
Boot0001* UEFI QEMU DVD-ROM PciRoot(0x0)/Pci(0x1f,0x2)/Sata(2,65535,0)
Boot0003* debian\tHD(2,GPT,{UUID},0x1000,0x100000)/\\EFI\\debian\\shimx64.efi
Boot000A  other\tHD(1,GPT,00000000-1111-4222-8333-444455556666,0x800,0x100000)/\\EFI\\a.efi
Boot000B  old\tHD(2,GPT,{UUID.upper()},0x800,0x100000)/\\EFI\\debian\\shimx64.efi
"""


@pytest.mark.parametrize(
    ("uuid", "expected"), [(UUID, ("0003", "000B")), (None, ()), ("no-such", ())]
)
def test_entries_of_partition(uuid: str | None, expected: tuple[str, ...]) -> None:
    assert entries_of_partition(LISTING, uuid) == expected


@pytest.mark.parametrize("choice", [Bootloader.SYSTEMD, Bootloader.GRUB_CC])
def test_require_bootloader_refuses_what_cannot_read_deployments(
    tmp_path: Path, choice: Bootloader
) -> None:
    with refused(
        UsageError,
        f"the boot loader {choice} ",
        hint="use --bootloader grub, or --bootloader none to install your own",
    ):
        require_bootloader(tmp_path, choice, "x86_64")


def test_require_bootloader_refuses_an_image_without_files(tmp_path: Path) -> None:
    with refused(
        ImageContentError,
        "no boot loader file",
        hint=(
            "install shim-signed and the signed grub-efi package in the image, "
            "or use --bootloader none"
        ),
    ):
        require_bootloader(tmp_path, Bootloader.GRUB, "x86_64")


def test_require_bootloader_none_needs_nothing(tmp_path: Path) -> None:
    require_bootloader(tmp_path, Bootloader.NONE, "s390x")


def image(root: Path) -> Path:
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


@pytest.mark.parametrize(
    ("present", "message", "hint"),
    [
        (
            "grub-mkimage",
            "program mcopy",
            "install the package mtools, in the image if it installs itself",
        ),
        (
            "mcopy",
            "program grub-mkimage",
            "install the package grub-common, in the image if it installs itself",
        ),
    ],
)
def test_require_bootloader_refuses_to_start_without_its_programs(
    tmp_path: Path, fake_tool: FakeTool, present: str, message: str, hint: str
) -> None:
    fake_tool(present)
    with refused(BootcpyError, message, hint=hint):
        require_bootloader(image(tmp_path), Bootloader.GRUB, "x86_64")


def test_require_bootloader_checks_the_choice_before_the_image_is_at_hand() -> None:
    with pytest.raises(UsageError, match="the boot loader systemd "):
        require_bootloader(None, Bootloader.SYSTEMD, "x86_64")


def put_on_disk(root: Path, *, generic_image: bool, sector_bytes: int = 4096) -> list[str]:
    """Install with GRUB, and return what was told on the way."""
    esp, progress = root / "esp", Notes()
    esp.touch()
    target = TargetTree(
        root=root / "root",
        root_uuid="r-r",
        disk=Path("/dev/vda"),
        esp=esp,
        esp_uuid=UUID,
        esp_number=2,
        bios_boot=BiosBoot(disk=esp, start_bytes=0, size_bytes=0, sector_bytes=sector_bytes),
    )
    install(
        target,
        Bootloader.GRUB,
        image_root=image(root / "image"),
        machine="x86_64",
        generic_image=generic_image,
        timestamp_s=None,
        progress=progress,
    )
    return progress.notes


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def firmware(tmp_path: Path, fake_tool: FakeTool, monkeypatch: pytest.MonkeyPatch) -> FakeTool:
    """A machine started by UEFI, with all programs but efibootmgr."""
    for name in ("mmd", "mcopy", "grub-mkimage"):
        fake_tool(name)
    (tmp_path / "efivars").mkdir()
    (tmp_path / "efivars/BootOrder").touch()
    monkeypatch.setattr(paths, "EFI_VARIABLES", tmp_path / "efivars")
    return fake_tool


def test_install_replaces_the_firmwares_entries_of_the_partition(
    tmp_path: Path, firmware: FakeTool
) -> None:
    calls = firmware("efibootmgr", stdout=LISTING)
    put_on_disk(tmp_path, generic_image=False)
    create = "--quiet --create --disk=/dev/vda --part=2 --label=debian"
    assert calls.read_text(encoding="utf-8").splitlines() == [
        "--verbose",
        "--quiet --bootnum=0003 --delete-bootnum",
        "--quiet --bootnum=000B --delete-bootnum",
        rf"{create} --loader=\EFI\debian\shimx64.efi",
    ]


def test_install_leaves_the_firmware_alone_for_a_generic_image(
    tmp_path: Path, firmware: FakeTool
) -> None:
    calls = firmware("efibootmgr", stdout=LISTING)
    put_on_disk(tmp_path, generic_image=True)
    assert calls.read_text(encoding="utf-8") == ""


def test_install_warns_when_the_firmware_refuses(
    tmp_path: Path, firmware: FakeTool, caplog: pytest.LogCaptureFixture
) -> None:
    firmware("efibootmgr", stderr="No space left on device\n", status=9)
    put_on_disk(tmp_path, generic_image=False)
    assert "no firmware boot entry was made" in caplog.text
    assert "No space left on device" in caplog.text


def test_install_tells_that_a_disk_with_large_sectors_has_no_bios_boot(
    tmp_path: Path, firmware: FakeTool
) -> None:
    firmware("efibootmgr")
    assert put_on_disk(tmp_path, generic_image=True) == [
        "The disk will not boot on BIOS: its sectors have 4096 bytes."
    ]
