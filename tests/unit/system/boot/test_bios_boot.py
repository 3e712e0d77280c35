from pathlib import Path

import pytest

from bootcpy.errors import ImageContentError
from bootcpy.system.boot.bios_boot import (
    GRUB_PC,
    patched_boot_code,
    patched_core_image,
    read_files,
)
from tests.refusals import refused

# Filled with a pattern, so that every byte which must not change is seen to stay.
BOOT_IMAGE = bytes(index % 251 for index in range(510)) + b"\x55\xaa"


def test_patched_boot_code_changes_sector_drive_and_check_only() -> None:
    code = patched_boot_code(BOOT_IMAGE, core_sector=0x1_0000_0802)
    assert len(code) == 440
    assert code[0x5C:0x64] == bytes.fromhex("0208000001000000")
    assert code[0x64] == 0xFF
    assert code[0x66:0x68] == b"\x90\x90"
    changed = {*range(0x5C, 0x65), 0x66, 0x67}
    assert all(code[i] == BOOT_IMAGE[i] for i in range(440) if i not in changed)


@pytest.mark.parametrize("image", [b"", BOOT_IMAGE[:-1], BOOT_IMAGE[:-2] + b"\0\0"])
def test_patched_boot_code_refuses_what_is_no_boot_sector(image: bytes) -> None:
    with refused(
        ImageContentError, r"boot\.img is not a boot sector", hint="reinstall grub-pc-bin in it"
    ):
        patched_boot_code(image, core_sector=34)


def test_patched_core_image_lists_all_sectors_after_the_first() -> None:
    core = b"\xaa" * (3 * 512 + 1)
    image = patched_core_image(core, start_sector=2048)
    assert len(image) == 4 * 512
    assert image[512 - 12 : 512] == bytes.fromhex("010800000000000003002008")
    assert image[512 - 24 : 512 - 12] == bytes(12)
    assert image[: 512 - 24] == core[: 512 - 24]
    assert image[512 : len(core)] == core[512:]
    assert image[len(core) :] == bytes(511)


@pytest.mark.parametrize("size", [0, 512, 0x78000 - 0x8200 + 1])
def test_patched_core_image_refuses_what_a_bios_cannot_load(size: int) -> None:
    with refused(ImageContentError, f"has {size} bytes", hint="reinstall grub-pc-bin in the image"):
        patched_core_image(bytes(size), start_sector=2048)


def test_read_files_leaves_out_what_is_outside(tmp_path: Path) -> None:
    directory = tmp_path / "root" / GRUB_PC
    directory.mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"host")
    (directory / "boot.img").write_bytes(b"boot")
    (directory / "normal.mod").symlink_to("boot.img")
    (directory / "test.mod").symlink_to(tmp_path / "secret")
    assert read_files(tmp_path / "root") == {"boot.img": b"boot", "normal.mod": b"boot"}


def test_read_files_has_a_limit(tmp_path: Path) -> None:
    (tmp_path / GRUB_PC).mkdir(parents=True)
    with (tmp_path / GRUB_PC / "boot.img").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ImageContentError, match="it is larger than 64 MiB"):
        read_files(tmp_path)
