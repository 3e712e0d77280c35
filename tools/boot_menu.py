"""What an installed disk would boot, and whether all of that is there, seen from outside.

GRUB reads a file system as it lies there; the kernel replays its journal first. After a power
cut the two may see different files, and what the one starts the other must be able to finish:
so the menu is read both ways, and where it leads to is looked up as the kernel does.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bootcpy.model.boot.bls import Entry, parse_entry, sorted_entries
from bootcpy.model.boot.cmdline import split_kargs
from bootcpy.model.boot.grub_menu import grub_menu
from tools.installed_disk import mounted_root

_SHIPPED = ("usr/bin/bash", "usr/lib/os-release", "etc/passwd")


@dataclass(frozen=True, slots=True, kw_only=True)
class BootMenu:
    """The deployments that are offered, CHECKSUM.SERIAL, the default first; and what is wrong.

    GRUB offers `deployments`. The host that it starts finds `replayed`: for a moment after the
    menu was changed, that is newer.
    """

    deployments: tuple[str, ...]
    replayed: tuple[str, ...]
    problems: tuple[str, ...] = ()


def read_boot_menu(disk: Path) -> BootMenu:
    """Return what the raw disk `disk` would boot. Afterwards its journal is replayed.

    Raises:
        BootcpyError: its root file system cannot be mounted, or it has no menu.
    """
    with mounted_root(disk, journal=False) as root:
        entries = read_entries(root)
        problems = list(menu_problems(root, entries))
    with mounted_root(disk) as root:
        replayed = read_entries(root)
        problems += menu_problems(root, replayed)
        for entry in (*entries, *replayed):
            problems += deployment_problems(root, entry)
        seen, found = (
            tuple(deployment(root, entry).name for entry in each) for each in (entries, replayed)
        )
    return BootMenu(deployments=seen, replayed=found, problems=tuple(dict.fromkeys(problems)))


def read_entries(root: Path) -> tuple[Entry, ...]:
    """Return the boot entries below the root file system `root`, in the order of the menu.

    Raises:
        BootcpyError: one is malformed.
    """
    found = sorted(root.glob("boot/loader/entries/*.conf"))
    return sorted_entries(parse_entry(path.name, path.read_text("utf-8")) for path in found)


def menu_problems(root: Path, entries: tuple[Entry, ...]) -> Iterator[str]:
    """Yield how grub.cfg differs from `entries`, and what their kernels lack.

    Raises:
        BootcpyError: there is no entry.
    """
    menu = root / "boot/loader/grub.cfg"
    if not menu.is_file():
        yield f"{menu.name} is missing"
    elif menu.read_text("utf-8") != grub_menu(entries):
        yield f"{menu.name} offers something else than the entries beside it"
    for entry in entries:
        # In /boot is a link to itself, so that this holds with and without a prefix.
        files = [root / "boot" / name.lstrip("/") for name in (entry.linux, *entry.initrd)]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            yield f"{entry.id}: {', '.join(missing)} is missing"
            continue
        # libostree names their directory by both of them together.
        checksum = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
        if not files[0].parent.name.endswith(f"-{checksum}"):
            yield f"{entry.id}: the contents of {files[0].parent.name} are damaged"


def deployment(root: Path, entry: Entry) -> Path:
    """Return the directory that `entry` has the initramfs make the root; it may be missing."""
    arguments = (argument.partition("=") for argument in split_kargs(entry.options))
    link = next((value for key, _, value in arguments if key == "ostree"), "")
    return (root / link.lstrip("/")).resolve()


def deployment_problems(root: Path, entry: Entry) -> Iterator[str]:
    """Yield what the deployment of `entry` lacks."""
    directory = deployment(root, entry)
    if directory == root.resolve() or not directory.is_dir():
        yield f"{entry.id}: there is no deployment {directory.name}"
        return
    for file in (*_SHIPPED, f"../{directory.name}.origin"):
        if not (directory / file).exists():
            yield f"{entry.id}: the deployment {directory.name} has no {file}"
