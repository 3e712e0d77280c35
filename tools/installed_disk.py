"""Disk files with the image installed on them, by the command a user would type."""

import hashlib
from pathlib import Path

from tools import containers, image, qemu, steps

DISK_SIZE_BYTES = 12 << 30  # sparse; room for an image pulled inside the guest


def installed_disk(built: image.BuiltImage, filesystem: str, *, directory: Path) -> Path:
    """Return a disk file with `built` on `filesystem`, installed now unless that was done before.

    Treat it as read-only: boot a `qemu.overlay` of it.

    Raises:
        BootcpyError: the installation failed; no file is left.
    """
    arguments = ["bootc", "install", "to-disk", "--via-loopback", "--filesystem", filesystem]
    how = hashlib.sha256(" ".join(arguments).encode()).hexdigest()[:8]
    disk = directory / f"{filesystem}-{how}-{built.id[:12]}.img"
    if disk.exists():
        steps.say(f"{disk.name} is there already, and the image has not changed since")
        return disk
    directory.mkdir(parents=True, exist_ok=True)
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
