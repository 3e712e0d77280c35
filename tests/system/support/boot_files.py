"""What an image needs to boot, small: layers, disks and partitions for tests of the boot part."""

import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from bootcpy.model.install.layout import Filesystem
from tests.layers import Member, directory, file, symlink
from tests.system.support.marks import MAY_MOUNT

IN_CONTAINER = pytest.mark.skipif(
    not MAY_MOUNT,
    reason="mounts, and uses GRUB's files: runs as root in a container of the image",
)
KERNEL = "usr/lib/modules/6.12.0-test"
PREPARE_ROOT = "usr/lib/ostree/ostree-prepare-root"
MIB = 1 << 20
# Of the image the tests run in: what its boot loader packages brought.
_LOADER_DIRECTORIES = ("usr/lib/shim", "usr/lib/grub/x86_64-efi-signed", "usr/lib/grub/i386-pc")


def cpio(*names: str) -> bytes:
    """Return an archive of empty files as the kernel takes it for an initramfs ("newc")."""
    archive = b""
    for name in (*names, "TRAILER!!!"):
        encoded = name.encode() + b"\0"
        fields = [0, 0o100644, 0, 0, 1, 0, 0, 0, 0, 0, 0, len(encoded), 0]
        member = b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
        archive += member + bytes(-len(member) % 4)
    return archive


def members(changes: Mapping[str, bytes | None] | None = None) -> list[Member]:
    """Return the members of a layer that boots; `changes` replaces files, None leaves one out."""
    files: dict[str, bytes | None] = {
        f"{KERNEL}/vmlinuz": b"kernel",
        f"{KERNEL}/initramfs.img": cpio("init", PREPARE_ROOT),
        "usr/lib/ostree/prepare-root.conf": b"[sysroot]\nreadonly = true\n",
        "usr/lib/os-release": b"ID=debian\nPRETTY_NAME='Bob''s \"Test\" OS'\n",
        "usr/lib/bootc/kargs.d/10-console.toml": b'kargs = ["console=ttyS0"]\n',
        "etc/fstab": b"# none\n",
    }
    files |= changes or {}
    top = [directory(name) for name in ("boot", "etc", "sysroot", "usr", "var")]
    links = [symlink("ostree", "sysroot/ostree"), symlink("root", "var/roothome")]
    found = [file(name, text) for name, text in files.items() if text is not None]
    return [*top, *links, *_with_parents(found)]


def loader_members() -> list[Member]:
    """Return the boot loader files of the image the tests run in."""
    found = [
        file(str(path.relative_to("/")), path.read_bytes())
        for name in _LOADER_DIRECTORIES
        for path in sorted(Path("/", name).iterdir())
        if path.is_file()
    ]
    return _with_parents(found)


def _with_parents(files: list[Member]) -> list[Member]:
    parents = {str(p): None for each in files for p in reversed(Path(each.header.name).parents)}
    parents.pop(".", None)
    return [*(directory(name) for name in parents), *files]


@contextmanager
def mounted(directory_: Path, *, filesystem: Filesystem = Filesystem.EXT4) -> Generator[Path]:
    """Make a file system in a file and mount it: what is immutable there vanishes with it."""
    image, root = directory_ / f"{filesystem}.img", directory_ / "root"
    with image.open("wb") as disk:
        disk.truncate(600 * MIB)
    force = "-F" if filesystem is Filesystem.EXT4 else "-f"
    verity = ("-O", "verity") if filesystem is Filesystem.EXT4 else ()
    subprocess.run([f"mkfs.{filesystem}", "-q", force, *verity, str(image)], check=True)
    root.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(root)], check=True)
    try:
        yield root
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


def make_esp(path: Path) -> Path:
    """Make a FAT file system as large as a small EFI system partition."""
    with path.open("wb") as disk:
        disk.truncate(64 * MIB)
    subprocess.run(["mkfs.fat", "-F", "32", "-i", "12345678", str(path)], check=True)
    return path


def make_disk(path: Path) -> Path:
    """Make a disk file with a GPT whose first partition, of 1 MiB at 1 MiB, is for BIOS."""
    with path.open("wb") as disk:
        disk.truncate(64 * MIB)
    table = "label: gpt\nsize=1MiB, type=21686148-6449-6E6F-744E-656564454649\nsize=8MiB\n"
    subprocess.run(["sfdisk", "-q", str(path)], input=table, check=True, text=True)
    return path
