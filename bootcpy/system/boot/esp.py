"""The EFI system partition's content, written with mtools.

The kernel need not know vfat: `mcopy -i DEVICE` writes into the file system itself. The
chain is the distribution's, signed as it is: firmware, shim, GRUB, the stub `grub.cfg`
written here, and then the real menu on the root file system.
"""

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bootcpy.errors import ImageContentError
from bootcpy.model.base.architecture import Architecture, UefiNames
from bootcpy.model.base.size import MIB
from bootcpy.system.files import below
from bootcpy.system.process.run import run

log = logging.getLogger(__name__)

_SHIM = Path("usr/lib/shim")  # below an image's root, as GRUB's directories
_BOOT = Path("EFI/BOOT")  # where firmware looks when it has no entry (UEFI 2.10, 3.5.1.1)

# What the GRUB binary looks for on the partition it was started from, as grub-mkimage put it in.
_PREFIX = re.compile(rb"/EFI/(?!BOOT\0)([A-Za-z0-9][A-Za-z0-9._-]*)\0")
_LARGEST_BYTES = 64 * MIB  # of one file; Debian's GRUB has 5


@dataclass(frozen=True, slots=True, kw_only=True)
class EspFile:
    """One file of the partition: `path` on it, its content from `source` or as `text`.

    `source` is below the root of the image.
    """

    path: Path
    source: Path | None = None
    text: str = ""


def uefi_names(machine: str) -> UefiNames:
    """Return how the UEFI of `machine` (as `uname -m` prints it) names its files.

    Raises:
        ImageContentError: no image has a signed boot loader for it.
    """
    names = Architecture.of(machine).uefi
    if names is None:
        raise ImageContentError(f"no signed boot loader is known for {machine}")
    return names


def loader_files(image_root: Path, machine: str) -> tuple[Path, Path, Path]:
    """Return where shim, GRUB and MokManager are below `image_root`.

    Raises:
        ImageContentError: one of them is missing, or none exists for `machine`.
    """
    names = uefi_names(machine)
    suffix = names.suffix
    files = (
        _first_of(  # Ubuntu has the second name be a link by way of /etc/alternatives
            image_root,
            _SHIM / f"shim{suffix}.efi.signed.latest",
            _SHIM / f"shim{suffix}.efi.signed",
        ),
        names.grub_signed / f"grub{suffix}.efi.signed",
        _first_of(image_root, _SHIM / f"mm{suffix}.efi.signed", _SHIM / f"mm{suffix}.efi"),
    )
    for file in files:
        if not below.is_file(image_root, file):
            raise ImageContentError(
                f"the image has no boot loader file /{file}",
                hint="install shim-signed and the signed grub-efi package in the image, "
                "or use --bootloader none",
            )
    return files


def _first_of(image_root: Path, *candidates: Path) -> Path:
    """Return the first that is there, else the last."""
    return next((path for path in candidates if below.is_file(image_root, path)), candidates[-1])


def read_file(image_root: Path, path: Path) -> bytes:
    """Return the content of a boot loader's file.

    Raises:
        ImageContentError: it cannot be read, or is far larger than any such file.
    """
    try:
        return below.read_bytes(image_root, path, limit_bytes=_LARGEST_BYTES)
    except OSError as e:
        raise ImageContentError(f"cannot read /{path} of the image: {e.strerror}") from e


def vendor_of(image_root: Path, machine: str) -> str:
    """Return the directory below EFI/ where the image's signed GRUB expects to be.

    Raises:
        ImageContentError: there is no signed boot loader, or it names none or several.
    """
    _, grub, _ = loader_files(image_root, machine)
    return vendor_directory(read_file(image_root, grub))


def vendor_directory(grub: bytes) -> str:
    """Return the directory below EFI/ that is compiled into the signed binary `grub`.

    Raises:
        ImageContentError: the binary names none, or several.
    """
    found = {match[1].decode() for match in _PREFIX.finditer(grub)}
    if len(found) != 1:
        raise ImageContentError(
            f"the image's signed GRUB names {len(found)} configuration directories below /EFI, "
            "not one"
        )
    return found.pop()


def stub_config(root_uuid: str) -> str:
    """Return the grub.cfg of the partition: it hands over to the menu on `root_uuid`."""
    return (
        f"search.fs_uuid {root_uuid} root\n"
        "set prefix=($root)/boot/grub\n"
        "configfile ($root)/boot/loader/grub.cfg\n"
    )


def planned_files(image_root: Path, *, machine: str, root_uuid: str) -> tuple[EspFile, ...]:
    """Return what the partition holds, in the order of writing.

    Firmware starts nothing before the last file is there: all else comes first.
    `fbx64.efi` stays out of EFI/BOOT, where shim would run it and change the boot
    order of whatever machine the disk is put into.
    """
    shim, grub, mok_manager = loader_files(image_root, machine)
    suffix = uefi_names(machine).suffix
    vendor = Path("EFI", vendor_directory(read_file(image_root, grub)))
    stub = stub_config(root_uuid)
    files = [
        EspFile(path=vendor / "grub.cfg", text=stub),
        EspFile(path=vendor / f"mm{suffix}.efi", source=mok_manager),
        EspFile(path=vendor / f"grub{suffix}.efi", source=grub),
    ]
    csv = _SHIM / f"BOOT{suffix.upper()}.CSV"
    fallback = _first_of(image_root, _SHIM / f"fb{suffix}.efi.signed", _SHIM / f"fb{suffix}.efi")
    if below.is_file(image_root, csv):
        files.append(EspFile(path=vendor / csv.name, source=csv))
    if below.is_file(image_root, fallback):
        files.append(EspFile(path=vendor / f"fb{suffix}.efi", source=fallback))
    return (
        *files,
        EspFile(path=vendor / f"shim{suffix}.efi", source=shim),
        EspFile(path=_BOOT / f"mm{suffix}.efi", source=mok_manager),
        EspFile(path=_BOOT / f"grub{suffix}.efi", source=grub),
        EspFile(path=_BOOT / f"BOOT{suffix.upper()}.EFI", source=shim),
    )


def write(
    device: Path, files: tuple[EspFile, ...], *, image_root: Path, timestamp_s: int | None
) -> None:
    """Write `files` to the formatted, unmounted partition `device` (or a file that is one).

    Their sources are below `image_root`. With `timestamp_s` all times on it are that one, so
    that the bytes are reproducible. All is on the disk when this returns.

    Raises:
        ToolFailedError: an mtools program failed, for instance for lack of space.
        ImageContentError: a source cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="bootcpy-esp-") as name:
        staging = Path(name)
        for directory in _directories(files):
            _mtools(timestamp_s, "mmd", "-i", device, f"::/{directory}")
        for file in files:
            copy = staging / file.path.name
            if file.source is None:
                copy.write_text(file.text, encoding="ascii")
            else:
                copy.write_bytes(read_file(image_root, file.source))
            if timestamp_s is not None:
                os.utime(copy, (timestamp_s, timestamp_s))
            _mtools(timestamp_s, "mcopy", "-o", "-m", "-i", device, copy, f"::/{file.path}")
            copy.unlink()
    descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _directories(files: tuple[EspFile, ...]) -> Iterator[Path]:
    wanted = {parent for file in files for parent in file.path.parents if parent != Path()}
    yield from sorted(wanted, key=lambda path: (len(path.parts), path))


def _mtools(timestamp_s: int | None, program: str, *args: str | Path) -> None:
    # Skip the check: it wants a geometry that a partition in a loop device has not.
    # FAT keeps local time, and mtools stamps directories with "now".
    env = {"MTOOLS_SKIP_CHECK": "1", "MTOOLSRC": "/dev/null", "TZ": "UTC"}
    if timestamp_s is not None:
        env["SOURCE_DATE_EPOCH"] = str(timestamp_s)
    run(program, *args, env=env)
