"""Which boot loader an image is installed with, and driving its parts onto a target."""

import logging
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from bootcpy import paths
from bootcpy.errors import BootcpyError, UsageError
from bootcpy.model.base.progress import Progress
from bootcpy.model.boot.loader import Bootloader
from bootcpy.model.install.target_tree import BiosBoot, TargetTree
from bootcpy.system.boot import bios_boot, esp
from bootcpy.system.files import below
from bootcpy.system.files.mount import mounted
from bootcpy.system.process.run import run

log = logging.getLogger(__name__)


def require_bootloader(image_root: Path | None, choice: Bootloader, machine: str) -> None:
    """Check that the image unpacked at `image_root` can be installed with `choice`.

    Writes nothing; to be called before anything is written. Without `image_root`, as long
    as the image cannot be looked into, all but its files is checked.

    Raises:
        UsageError: `choice` does not work with deployments of ostree's kind.
        ImageContentError: the image lacks files of the boot loader.
        BootcpyError: a program that installs it is missing here.
    """
    match choice:
        case Bootloader.NONE:
            return
        case Bootloader.SYSTEMD | Bootloader.GRUB_CC:
            raise UsageError(
                f"the boot loader {choice} reads only a FAT /boot, which ostree deployments "
                "cannot have",
                hint="use --bootloader grub, or --bootloader none to install your own",
            )
        case Bootloader.GRUB:
            if image_root is not None:
                esp.vendor_of(image_root, machine)
            _require_program("mcopy", package="mtools")
            if image_root is not None and has_bios_files(image_root):
                _require_program("grub-mkimage", package="grub-common")


def _require_program(name: str, *, package: str) -> None:
    if shutil.which(name) is None:
        raise BootcpyError(
            f"the program {name}, which installs the boot loader, is not installed",
            hint=f"install the package {package}, in the image if it installs itself",
        )


def has_bios_files(image_root: Path) -> bool:
    """Tell whether the image at `image_root` brings GRUB for BIOS."""
    return below.is_file(image_root, bios_boot.BOOT_IMAGE)


def install(
    target: TargetTree,
    choice: Bootloader,
    *,
    image_root: Path,
    machine: str,
    generic_image: bool,
    timestamp_s: int | None,
    progress: Progress,
) -> None:
    """Make the disk of `target` start the menu in its /boot, with the loader of the image.

    The menu itself is written by libostree's deploy. A firmware entry is made unless
    `generic_image`; where that fails the disk boots all the same, by the removable path.

    Raises:
        ImageContentError: the image lacks files of the boot loader.
        ToolFailedError: writing the EFI system partition failed.
    """
    require_bootloader(image_root, choice, machine)
    if choice is Bootloader.NONE:
        return
    if target.esp is not None:
        with progress.step("Writing the EFI system partition"):
            files = esp.planned_files(image_root, machine=machine, root_uuid=target.root_uuid)
            esp.write(target.esp, files, image_root=image_root, timestamp_s=timestamp_s)
    if target.bios_boot is not None:
        _install_bios(target.bios_boot, target.root_uuid, image_root, progress)
    if target.esp is not None and not generic_image:
        try:
            with _efi_variables() as writable:
                if writable:
                    _register(target, image_root=image_root, machine=machine)
        except BootcpyError as e:
            log.warning("no firmware boot entry was made, EFI/BOOT is still bootable: %s", e)


def _install_bios(target: BiosBoot, root_uuid: str, image_root: Path, progress: Progress) -> None:
    if not has_bios_files(image_root):
        progress.note("The disk will not boot on BIOS: the image has no grub-pc-bin.")
    elif target.sector_bytes != bios_boot.SECTOR_BYTES:
        progress.note(
            f"The disk will not boot on BIOS: its sectors have {target.sector_bytes} bytes."
        )
    else:
        with progress.step("Writing GRUB for BIOS"):
            bios_boot.install(target, image_root=image_root, root_uuid=root_uuid)


@contextmanager
def _efi_variables() -> Generator[bool]:
    """Tell whether this machine was started by UEFI, with its variables at hand for as long.

    A container does not see them by itself: they are mounted for it.
    """
    try:
        present, shown = True, any(paths.EFI_VARIABLES.iterdir())
    except OSError:
        present, shown = False, False
    if present and not shown:
        with mounted("efivarfs", paths.EFI_VARIABLES, filesystem="efivarfs"):
            yield True
    else:
        yield shown


def _register(target: TargetTree, *, image_root: Path, machine: str) -> None:
    """Put the disk's shim first in the firmware's boot order, replacing its earlier entry."""
    if target.esp_number is None:
        raise BootcpyError(
            f"{target.esp} is not a partition of {target.disk}",
            hint="mount the EFI system partition of the disk that is installed to",
        )
    vendor = esp.vendor_of(image_root, machine)
    for number in entries_of_partition(run("efibootmgr", "--verbose"), target.esp_uuid):
        run("efibootmgr", "--quiet", f"--bootnum={number}", "--delete-bootnum")
    run(
        "efibootmgr",
        "--quiet",
        "--create",
        f"--disk={target.disk}",
        f"--part={target.esp_number}",
        f"--label={vendor}",
        f"--loader=\\EFI\\{vendor}\\shim{esp.uefi_names(machine).suffix}.efi",
    )


def entries_of_partition(listing: str, partition_uuid: str | None) -> tuple[str, ...]:
    """Return the numbers of the boot entries on `partition_uuid` in efibootmgr's `listing`."""
    if partition_uuid is None:
        return ()
    entry = re.compile(
        rf"^Boot([0-9A-F]{{4}})\*?\s.*\bGPT,{re.escape(partition_uuid)},",
        re.IGNORECASE | re.MULTILINE,
    )
    return tuple(entry.findall(listing))
