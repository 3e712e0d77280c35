from pathlib import Path

import pytest

from bootcpy.errors import ImageContentError, UsageError
from bootcpy.model.plan import Bootloader
from bootcpy.system.bootloader import entries_of_partition, require_bootloader

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
    with pytest.raises(UsageError, match=f"the boot loader {choice} "):
        require_bootloader(tmp_path, choice, "x86_64")


def test_require_bootloader_refuses_an_image_without_files(tmp_path: Path) -> None:
    with pytest.raises(ImageContentError, match="no boot loader file"):
        require_bootloader(tmp_path, Bootloader.GRUB, "x86_64")


def test_require_bootloader_none_needs_nothing(tmp_path: Path) -> None:
    require_bootloader(tmp_path, Bootloader.NONE, "s390x")
