"""A host that was deployed by plain `ostree admin deploy` follows an image, and goes back."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.vm.conftest import Boot
from tests.vm.updates import NAME, publish, trust
from tools import image, qemu, steps
from tools.guest import Guest
from tools.installed_disk import run_on_root
from tools.registry import Registry

_REF = "debian:stable/amd64"
_BOOTED_PLAIN = "● Booted ostree\n           Commit: {}"
_MACHINE = "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub"
# What is on the disk afterwards knows nothing of containers: the tree is that of the
# image, but its commit, stateroot, origin and refs are those of `ostree` alone. Only the two
# largest layers are left, as by a switch that was interrupted: an emulated guest takes
# minutes to import them.
_MAKE_PLAIN = f"""
export OSTREE_GRUB2_EXEC=/usr/lib/bootc/grub-menu
repo=--repo=ostree/repo sysroot=--sysroot=.
kargs=$(sed -n 's/^options //p' boot/loader/entries/*.conf | tr ' ' '\\n' \\
    | sed '/^ostree=/d; s/^/--karg-append=/')
image=$(ostree refs $repo --list ostree/container/image)
commit=$(ostree commit $repo --orphan --tree="ref=$image" --add-metadata-string=version=12)
ostree remote add $repo --no-gpg-verify debian https://ostree.example/repo
ostree refs $repo --create={_REF} "$commit"
ostree admin os-init $sysroot debian
ostree admin deploy $sysroot --os=debian $kargs --karg-append=plain.host=1 {_REF}
ostree admin undeploy $sysroot 1
for layer in $(ostree refs $repo --list bootcpy/layer); do
    echo "$(ostree ls $repo -R "$layer" | wc -l) $layer"
done | sort -n | head -n -2 | while read -r _ layer; do
    ostree refs $repo --delete "$layer"
done
ostree refs $repo --delete ostree/container
ostree refs $repo --delete bootcpy/image
rm -r ostree/deploy/default .bootc-aleph.json ostree/bootc
ostree admin cleanup $sysroot
ostree refs $repo
"""


@pytest.mark.slow
def test_plain_host_follows_an_image_and_goes_back(
    built_image: image.BuiltImage,
    base_disk: Callable[[str], Path],
    registry: Registry,
    results: Path,
    boot: Boot,
) -> None:
    second = publish(built_image, registry, number=2)
    name = registry.from_guest(NAME)
    disk = _plain_disk(built_image, base_disk("ext4"), results / "plain.img")
    with boot(disk) as guest:
        guest.wait_until_running()
        plain = _check_plain(guest)
        trust(guest, registry)
        guest.run("echo local > /etc/added; rm /etc/issue.net; echo kept > /var/lib/probe")
        machine = guest.run(_MACHINE).stdout

        with steps.step("Switching to the image in the registry"):
            said = guest.run(f"bootc switch {name}", timeout_s=300).stdout.splitlines()
        assert said == [f"Queued for next boot: {name}", "  Version: 13.2", f"  Digest: {second}"]
        staged, booted = _sections(guest)
        assert staged.startswith(f"  Staged image: {name}\n        Digest: {second} (amd64)\n")
        assert booted == _BOOTED_PLAIN.format(plain)
        # Asked for what is staged already, it still reboots.
        guest.reboot(f"bootc switch --apply {name}")

        _check_image(guest, name, second, plain)
        _check_what_is_kept(guest, machine)
        guest.wait_until_running()
        assert guest.run("bootc upgrade").stdout == "No update available.\n"
        guest.run("echo later > /etc/later; echo later > /var/lib/later")
        guest.reboot("bootc rollback --apply")

        _check_back(guest, name, second, plain)
        _check_what_is_kept(guest, machine)
        # What is in /etc is the deployment's own, what is in /var is the machine's.
        assert guest.run("ls /etc/later", check=False).status != 0
        assert guest.run("cat /var/lib/later").stdout == "later\n"
        guest.wait_until_running()
        guest.poweroff()

    found = run_on_root(built_image, disk.path, "ostree fsck --repo=ostree/repo")
    assert re.search(r"fsck of [1-9]\d* commits completed successfully", found)


def _plain_disk(built: image.BuiltImage, base: Path, path: Path) -> qemu.Disk:
    """Return a copy of an installed disk that is a plain ostree host."""
    with steps.step("Making a plain ostree host of an installed one"):
        steps.run(["cp", "--sparse=always", "--reflink=auto", base, path])
        refs = run_on_root(built, path, _MAKE_PLAIN, writable=True).split()
    assert _REF in refs
    of_images = [ref for ref in refs if ref.startswith(("ostree/container/", "bootcpy/"))]
    assert [ref.rpartition("/")[0] for ref in of_images] == ["bootcpy/layer/tree"] * 2
    return qemu.Disk(path=path)


def _check_plain(guest: Guest) -> str:
    """Look at the host before the first switch, and return the commit it runs."""
    status = _status(guest)
    plain = status["booted"]["ostree"]["checksum"]
    assert isinstance(plain, str)
    assert (status["type"], status["staged"], status["rollback"]) == (None, None, None)
    assert status["booted"]["image"] is None
    assert status["booted"]["ostree"]["stateroot"] == "debian"
    assert _sections(guest) == [_BOOTED_PLAIN.format(plain)]
    refused = guest.run("bootc upgrade", check=False)
    assert refused.status == 1
    assert refused.stderr.splitlines() == [
        "error: No image source specified",
        "hint: choose the image to follow with `bootc switch IMAGE`",
    ]
    return plain


def _check_image(guest: Guest, name: str, digest: str, plain: str) -> None:
    """See that the image runs and that the way back is there."""
    status = _status(guest)
    assert (status["type"], status["staged"]) == ("bootcHost", None)
    assert status["booted"]["image"]["imageDigest"] == digest
    assert status["booted"]["ostree"]["stateroot"] == "debian"
    assert status["rollback"]["image"] is None
    assert status["rollback"]["ostree"]["checksum"] == plain
    booted, rollback = _sections(guest)
    assert booted.startswith(f"● Booted image: {name}\n        Digest: {digest} (amd64)\n")
    assert rollback == f"  Rollback ostree\n           Commit: {plain}"
    assert guest.run("cat /usr/lib/update-number").stdout == "2\n"
    assert _kargs(guest) >= {"plain.host=1", "update.number=2", "rw"}
    assert _REF not in guest.run("ostree refs").stdout.split()


def _check_back(guest: Guest, name: str, digest: str, plain: str) -> None:
    """See that the old commit runs and that the image can be gone back to."""
    status = _status(guest)
    assert (status["type"], status["staged"]) == (None, None)
    assert status["booted"]["image"] is None
    assert status["booted"]["ostree"]["checksum"] == plain
    assert status["rollback"]["image"]["imageDigest"] == digest
    booted, rollback = _sections(guest)
    assert booted == _BOOTED_PLAIN.format(plain)
    assert rollback.startswith(f"  Rollback image: {name}\n          Digest: {digest} (amd64)\n")
    assert guest.run("ls /usr/lib/update-number", check=False).status != 0
    assert "plain.host=1" in _kargs(guest)
    assert "update.number=2" not in _kargs(guest)


def _status(guest: Guest) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(guest.run("bootc status --json").stdout)
    status: dict[str, Any] = document["status"]
    return status


def _sections(guest: Guest) -> list[str]:
    """Return the sections of `bootc status` as people see it."""
    return guest.run("bootc status --format humanreadable").stdout.strip("\n").split("\n\n")


def _kargs(guest: Guest) -> set[str]:
    return set(guest.run("cat /proc/cmdline").stdout.split())


def _check_what_is_kept(guest: Guest, machine: str) -> None:
    assert guest.run("cat /etc/added /var/lib/probe").stdout == "local\nkept\n"
    assert guest.run("ls /etc/issue.net", check=False).status != 0
    assert guest.run(_MACHINE).stdout == machine
