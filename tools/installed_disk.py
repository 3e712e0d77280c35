"""Disk files with the image installed on them, by the command a user would type."""

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bootcpy.errors import BootcpyError
from tools import containers, image, qemu, steps
from tools.lock import one_at_a_time

DISK_SIZE_BYTES = 12 << 30  # sparse; room for an image pulled inside the guest
# What the installed system takes its upgrades from. A guest is told where that registry is.
FOLLOWED_REGISTRY = "registry.example"
FOLLOWED = f"{FOLLOWED_REGISTRY}/os:latest"
# The partition by its offset: kernels of build hosts often make no nodes for partitions.
_WITH_ROOT = """
set -eu
start=$(sfdisk --json "$1" | python3 -c '
import json, sys
table = json.load(sys.stdin)["partitiontable"]
print(next(p["start"] for p in table["partitions"] if p.get("name") == "root") * 512)')
mkdir /run/disk
mount -o "$2,loop,offset=$start" "$1" /run/disk
(cd /run/disk && sh -euc "$3")
umount /run/disk
"""
# Leaves the journal as it lies there.
_NO_JOURNAL = {"ext4": "ro,noload", "xfs": "ro,norecovery", "btrfs": "ro,rescue=nologreplay"}


def installed_disk(built: image.BuiltImage, filesystem: str, *, directory: Path) -> Path:
    """Return a disk file with `built` on `filesystem`, installed now unless that was done before.

    Treat it as read-only: boot a `qemu.overlay` of it.

    Raises:
        BootcpyError: the installation failed; no file is left.
    """
    arguments = ["bootc", "install", "to-disk", "--via-loopback", "--filesystem", filesystem]
    arguments += ["--target-imgref", FOLLOWED]
    # Where guests are emulated, a kernel may find its timer too slow and panic.
    arguments += ["--karg", "no_timer_check"]
    how = hashlib.sha256(" ".join(arguments).encode()).hexdigest()[:8]
    disk = directory / f"{filesystem}-{how}-{built.id[:12]}.img"
    with one_at_a_time(directory / "lock"):
        if disk.exists():
            steps.say(f"{disk.name} is there already, and the image has not changed since")
            return disk
        for old in directory.glob(f"{filesystem}-*.img"):  # of images that are no more
            old.unlink()
        making = qemu.blank(directory / f"{filesystem}.making", DISK_SIZE_BYTES).path
        try:
            containers.run_installer(
                built.reference, [*arguments, f"/target/{making.name}"], target=directory
            )
        except BaseException:
            making.unlink(missing_ok=True)
            raise
        return making.rename(disk)


def run_on_root(built: image.BuiltImage, disk: Path, script: str, *, writable: bool = False) -> str:
    """Run a shell script inside the root file system of a disk that nothing uses.

    It runs in a container of `built` and begins in the directory where the physical root
    is mounted; what it prints is returned.

    Raises:
        BootcpyError: it ended with a status other than 0.
    """
    access = "rw" if writable else "ro"
    return containers.run_installer(
        built.reference,
        ["sh", "-c", _WITH_ROOT, "sh", f"/target/{disk.name}", access, script],
        target=disk.parent,
    )


@contextmanager
def mounted_root(disk: Path, *, journal: bool = True) -> Iterator[Path]:
    """Mount the root file system of the raw disk `disk`, which no guest uses, and yield where.

    It is what a kernel would see; without `journal`, what a boot loader would see, which
    replays none.

    Raises:
        BootcpyError: `disk` cannot be mounted.
    """
    table = json.loads(_said("sfdisk", "--json", disk))["partitiontable"]
    # The root is the last one, so that it can grow.
    start = max(int(partition["start"]) for partition in table["partitions"])
    offset = f"offset={start * int(table['sectorsize'])}"
    kind = _said("blkid", "--probe", f"--{offset}", "-o", "value", "-s", "TYPE", disk).strip()
    options = f"loop,{offset},{'rw' if journal else _NO_JOURNAL[kind]}"
    with tempfile.TemporaryDirectory() as directory:
        _said("mount", "-t", kind, "-o", options, disk, directory)
        try:
            yield Path(directory)
        finally:
            _said("umount", directory)


def _said(*argv: str | Path) -> str:
    ended = subprocess.run(argv, check=False, capture_output=True, text=True)
    if ended.returncode != 0:
        raise BootcpyError(f"{argv[0]} ended {ended.returncode}: {ended.stderr.strip()}")
    return ended.stdout
