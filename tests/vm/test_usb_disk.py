"""A host without any network takes its updates from a directory on a USB disk."""

import json
import shutil
from pathlib import Path

import pytest

from tests.vm.conftest import Resume
from tests.vm.updates import digests, plug_in, update
from tools import image, qemu, steps

_LABEL = "UPDATES"
_SIZE_BYTES = 4 << 30  # sparse
_MOUNT = f"mount -o ro LABEL={_LABEL} /mnt"
_UNMOUNT = "umount /mnt"
_FOLLOWED = "oci:/mnt/os:latest"


@pytest.mark.slow
def test_update_from_a_usb_disk_without_network(
    built_image: image.BuiltImage,
    results: Path,
    resume: Resume,
) -> None:
    with steps.step("Making a USB disk with two updates"):
        second, third = (update(built_image, number=number) for number in (2, 3))
        stick = _usb_disk({"latest": second, "next": third}, results / "usb.img")
    switch = f"bootc switch --transport oci {_FOLLOWED.removeprefix('oci:')}"
    with resume(offline=True) as guest:
        plug_in(guest, stick, name="/dev/vdb")
        guest.run(_MOUNT)
        said = guest.run(switch, timeout_s=300).stdout.splitlines()
        assert said == [
            f"Queued for next boot: ostree-unverified-image:{_FOLLOWED}",
            "  Version: 13.2",
            f"  Digest: {second.digest}",
        ]
        assert digests(guest) == {
            "staged": second.digest,
            "booted": built_image.digest,
            "rollback": None,
        }
        guest.run(_UNMOUNT)
        guest.reboot(f"{switch} --apply")

        assert digests(guest) == {
            "staged": None,
            "booted": second.digest,
            "rollback": built_image.digest,
        }
        assert guest.run("cat /usr/lib/update-number").stdout == "2\n"
        human = guest.run("bootc status --format humanreadable").stdout
        assert human.startswith(f"● Booted image: {_FOLLOWED}\n        Digest: {second.digest} ")
        followed = json.loads(guest.run("bootc status --json").stdout)["spec"]["image"]
        assert followed == {"image": "/mnt/os:latest", "transport": "oci"}
        guest.wait_until_running()
        for command in ("upgrade --check", "upgrade"):
            refused = guest.run(f"bootc {command}", check=False)
            message, hint = refused.stderr.splitlines()
            assert (refused.status, refused.stdout) == (1, "")
            assert message.startswith(f"error: there is no image {_FOLLOWED}: ")
            assert message.endswith(": no such file or directory")
            assert hint == "hint: check the path, and whether its disk is mounted"

        guest.run(_MOUNT)
        assert guest.run("bootc upgrade").stdout == "No update available.\n"
        said = guest.run("bootc upgrade --tag next", timeout_s=300).stdout.splitlines()
        assert said[:3] == [
            "Queued for next boot: ostree-unverified-image:oci:/mnt/os:next",
            "  Version: 13.3",
            f"  Digest: {third.digest}",
        ]
        assert digests(guest)["staged"] == third.digest
        guest.poweroff()


def _usb_disk(images: dict[str, image.BuiltImage], path: Path) -> qemu.Disk:
    """Return a disk with one file system and in it the OCI layout `os`, which holds `images`."""
    content = path.with_suffix("")
    content.mkdir()
    for tag, built in images.items():
        steps.run([
            *("skopeo", "copy", "--quiet", "--preserve-digests"),
            f"containers-storage:{built.reference}",
            f"oci:{content}/os:{tag}",
        ])
    disk = qemu.blank(path, _SIZE_BYTES)
    steps.run(["mke2fs", "-q", "-t", "ext4", "-L", _LABEL, "-d", content, path])
    shutil.rmtree(content)
    return disk
