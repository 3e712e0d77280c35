"""GRUB for BIOS: the core image in the BIOS boot partition, the boot code in the first sector.

`grub-install` wants the kernel's partition nodes and a mounted /boot; all it does with
them is to find two numbers which are known here. So the core image is made by
`grub-mkimage`, and the two places that say where it lies are filled in by
`patched_boot_code` and `patched_core_image`. Offsets: GRUB's include/grub/i386/pc/boot.h
and grub-core/boot/i386/pc/{boot,diskboot}.S; its setup program fills in the same ones.
"""

import logging
import os
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bootcpy.errors import ImageContentError, TargetError, ToolFailedError
from bootcpy.model.base.size import MIB
from bootcpy.model.install.target_tree import BiosBoot
from bootcpy.system.files import below
from bootcpy.system.process.run import run

log = logging.getLogger(__name__)

GRUB_PC = Path("usr/lib/grub/i386-pc")  # below an image's root
BOOT_IMAGE = GRUB_PC / "boot.img"
_MOST_FILES, _MOST_BYTES = 2000, 64 * MIB  # of that directory; Debian's has 290 and 4 MB

SECTOR_BYTES = 512  # what the BIOS counts in
_BOOT_CODE_BYTES = 440  # then come disk signature, partition table and 0xaa55
_KERNEL_SECTOR = 0x5C  # of the boot code: first sector of the core image, 64 bits
_BOOT_DRIVE = 0x64  # of the boot code: 0xff is the drive the BIOS started from
_DRIVE_CHECK = 0x66  # of the boot code: a jump around a check which disks need
_NOPS = b"\x90\x90"
_BLOCK_LIST = SECTOR_BYTES - 12  # of the core image: start (64 bits), count, load segment (16)
_LOAD_SEGMENT = 0x820  # directly behind the first sector, which is loaded at 0x8000
_MAX_CORE_BYTES = 0x78000 - 0x8200  # below the BIOS's own memory

# Enough to find the menu on any root file system we make, and to act on it.
_MODULES = (
    *("biosdisk", "part_gpt", "part_msdos", "ext2", "xfs", "btrfs"),
    *("search", "search_fs_uuid", "normal", "configfile", "linux", "test", "true", "loadenv"),
    *("echo", "sleep", "keystatus", "serial", "terminal", "all_video"),
    *("ls", "cat", "halt", "reboot", "minicmd", "help"),
)


def install(target: BiosBoot, *, image_root: Path, root_uuid: str) -> None:
    """Make the disk of `target` boot on BIOS, with GRUB's files of the image at `image_root`.

    The core image searches the file system `root_uuid` for `/boot/grub/grub.cfg`. It
    is on the disk before the first sector points at it; the partition table is kept.
    The disk's sectors must be of 512 bytes.

    Raises:
        ImageContentError: GRUB's files cannot be read or used.
        TargetError: the core image does not fit.
    """
    files = read_files(image_root)
    core = make_core_image(files, root_uuid=root_uuid)
    start_sector = target.start_bytes // SECTOR_BYTES
    core = patched_core_image(core, start_sector=start_sector)
    if len(core) > target.size_bytes:
        raise TargetError(
            f"GRUB's core image has {len(core)} bytes and the BIOS boot partition of "
            f"{target.disk} only {target.size_bytes}",
            hint="use another version of grub-pc-bin in the image, or --bootloader none",
        )
    boot_code = patched_boot_code(files[BOOT_IMAGE.name], core_sector=start_sector)
    log.debug("BIOS boot: core image of %d bytes at sector %d", len(core), start_sector)
    disk = os.open(target.disk, os.O_WRONLY | os.O_CLOEXEC)
    try:
        _write_all(disk, core, offset_bytes=target.start_bytes)
        os.fsync(disk)
        _write_all(disk, boot_code, offset_bytes=0)
        os.fsync(disk)
    finally:
        os.close(disk)


def read_files(image_root: Path) -> dict[str, bytes]:
    """Return GRUB's files for BIOS in the image at `image_root`, by name.

    Raises:
        ImageContentError: they cannot be read, or are far more than GRUB has.
    """
    files: dict[str, bytes] = {}
    left_bytes = _MOST_BYTES
    try:
        for name in below.names(image_root, GRUB_PC, limit=_MOST_FILES):
            if below.is_file(image_root, GRUB_PC / name):
                files[name] = below.read_bytes(image_root, GRUB_PC / name, limit_bytes=left_bytes)
                left_bytes -= len(files[name])
    except OSError as e:
        raise ImageContentError(
            f"cannot read GRUB's files for BIOS in /{GRUB_PC} of the image: {e.strerror}",
            hint="reinstall grub-pc-bin in the image",
        ) from e
    return files


def make_core_image(files: Mapping[str, bytes], *, root_uuid: str) -> bytes:
    """Return GRUB's i386-pc core image made of `files`, before it knows where it will lie.

    grub-mkimage follows links wherever they lead, so it gets a directory that has none.

    Raises:
        ImageContentError: grub-mkimage cannot use them.
    """
    # Run by GRUB's rescue parser, which knows no `if`; `normal` then reads $prefix/grub.cfg.
    embedded = f"search.fs_uuid {root_uuid} root\nset prefix=($root)/boot/grub\n"
    with tempfile.TemporaryDirectory(prefix="bootcpy-grub-") as directory:
        config, image = Path(directory, "embedded.cfg"), Path(directory, "core.img")
        config.write_text(embedded, encoding="ascii")
        modules = Path(directory, "modules")
        modules.mkdir()
        for name, content in files.items():
            (modules / name).write_bytes(content)
        try:
            run(
                "grub-mkimage",
                "--format=i386-pc",
                f"--directory={modules}",
                "--prefix=/boot/grub",
                f"--config={config}",
                f"--output={image}",
                *_MODULES,
            )
        except ToolFailedError as e:
            raise ImageContentError(
                f"GRUB's files for BIOS in the image make no core image: {e.message}",
                hint="reinstall grub-pc-bin in the image",
            ) from e
        return image.read_bytes()


def patched_boot_code(boot_image: bytes, *, core_sector: int) -> bytes:
    """Return the 440 bytes for the start of a disk whose core image begins at `core_sector`.

    Raises:
        ImageContentError: `boot_image` is not GRUB's boot.img.
    """
    if len(boot_image) != SECTOR_BYTES or boot_image[-2:] != b"\x55\xaa":
        raise ImageContentError(
            "the image's GRUB boot.img is not a boot sector", hint="reinstall grub-pc-bin in it"
        )
    code = bytearray(boot_image[:_BOOT_CODE_BYTES])
    struct.pack_into("<Q", code, _KERNEL_SECTOR, core_sector)
    code[_BOOT_DRIVE] = 0xFF
    code[_DRIVE_CHECK : _DRIVE_CHECK + len(_NOPS)] = _NOPS
    return bytes(code)


def patched_core_image(core: bytes, *, start_sector: int) -> bytes:
    """Return `core`, padded to whole sectors, to be written in one piece at `start_sector`.

    Raises:
        ImageContentError: `core` is not a core image that a BIOS can load.
    """
    sectors = -(-len(core) // SECTOR_BYTES)
    if not SECTOR_BYTES < len(core) <= _MAX_CORE_BYTES:
        raise ImageContentError(
            f"GRUB's core image has {len(core)} bytes, which a BIOS cannot load",
            hint="reinstall grub-pc-bin in the image",
        )
    image = bytearray(core.ljust(sectors * SECTOR_BYTES, b"\0"))
    # One entry for everything behind the first sector; the one before it, zero, ends the list.
    struct.pack_into("<QHH", image, _BLOCK_LIST, start_sector + 1, sectors - 1, _LOAD_SEGMENT)
    struct.pack_into("<QHH", image, _BLOCK_LIST - 12, 0, 0, 0)
    return bytes(image)


def _write_all(descriptor: int, content: bytes, *, offset_bytes: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset_bytes)
        view = view[written:]
        offset_bytes += written
