"""Downloads that cannot be finished: no room, no registry any more, a reboot in between."""

import json
import re

import pytest

from tests.vm.conftest import Resume
from tests.vm.updates import NAME, digests, manifest, push
from tools import image, steps
from tools.guest import Completed, Guest
from tools.installed_disk import FOLLOWED, FOLLOWED_REGISTRY
from tools.registry import Registry, guest_configuration
from tools.relay import relaying

_CONTAINERFILE = image.ROOT / "images" / "updates" / "initramfs.Containerfile"
_THIRD = "os:third"
_HALF_OF_THE_LARGE_LAYER = 20 << 20
_LEFT_BYTES = 64 << 20  # less than what the repository leaves alone
_FILL = f"fallocate -l $(( $(stat -f -c '%f * %S' /var) - {_LEFT_BYTES} )) /var/filler"
# A /boot with no room for a second kernel.
_SMALL_BOOT = """
set -e
truncate --size="$(( $(du -sxm /boot | cut -f1) + 16 ))M" /var/boot.img
mkfs.ext4 -q /var/boot.img
mount -o loop /var/boot.img /mnt
cp -ax /boot/. /mnt
umount /mnt
mount -o loop /var/boot.img /boot
"""
_SIZE = r"[0-9.]+ [KMG]?i?B"


@pytest.mark.slow
def test_downloads_that_cannot_be_finished(
    built_image: image.BuiltImage, registry: Registry, resume: Resume
) -> None:
    first, second = built_image.digest, _publish(built_image, registry, NAME, number=2)
    _publish(built_image, registry, _THIRD, number=3)
    *_, small, large = [layer["digest"] for layer in json.loads(manifest(registry))["layers"]]
    nothing_staged = {"staged": None, "booted": first, "rollback": None}
    with relaying(registry.port) as relay, resume() as guest:
        configuration = guest_configuration(relay.port)
        guest.run("cat > /etc/containers/registries.conf.d/local.conf", stdin=configuration)
        relay.start()
        with steps.step("Upgrading with a full root file system"):
            guest.run(_FILL)
            asked = len(registry.requests())
            _refuse(
                guest,
                "bootc upgrade",
                f"Insufficient free space for {FOLLOWED} "
                rf"\(available: 0 B required: {_SIZE}\): {_SIZE} to download, "
                rf"about {_SIZE} unpacked; {_SIZE} are free in /sysroot/ostree/repo, "
                f"of which libostree keeps {_SIZE} free",
            )
            assert _fetched(registry, since=asked, among=[small, large]) == []
            guest.run("rm /var/filler")

        with steps.step("Losing the registry in the middle of a layer"):
            relay.start(bytes_until_end=_HALF_OF_THE_LARGE_LAYER)
            asked = len(registry.requests())
            said = _refuse(
                guest,
                "bootc upgrade --download-only",
                f"registry {FOLLOWED_REGISTRY} cannot be reached: .*",
            )
            assert relay.has_ended()
            assert f"layer {large} of docker://{FOLLOWED} cannot be read" in said.stderr
            assert "; trying again in 4 s\n" in said.stderr
            assert digests(guest) == nothing_staged
            assert small in _fetched(registry, since=asked, among=[small, large])

        relay.start()
        asked = len(registry.requests())
        downloaded = guest.run("bootc upgrade --download-only", timeout_s=300)
        assert _fetched(registry, since=asked, among=[small, large]) == [large]
        assert "Image downloaded, but will not be applied on reboot\n" in downloaded.stdout
        assert digests(guest) == {**nothing_staged, "staged": second}

        guest.reboot()
        # It is held back, and nobody calls that a failure.
        assert digests(guest) == nothing_staged
        guest.wait_until_running()
        assert guest.run("bootc status --json").stderr == ""
        with steps.step("Switching with a full /boot"):
            guest.run(_SMALL_BOOT)
            said = _refuse(
                guest,
                f"bootc switch {FOLLOWED_REGISTRY}/{_THIRD}",
                "Insufficient free space for the kernel in /boot "
                rf"\(available: {_SIZE} required: {_SIZE}\)",
            )
            assert "another kernel may not fit into /boot (available: " in said.stderr
            assert digests(guest) == nothing_staged
            guest.run("umount /boot && rm /var/boot.img")

        relay.stop()  # what was downloaded needs no registry
        guest.reboot("bootc upgrade --from-downloaded --apply", timeout_s=300)
        assert digests(guest) == {"staged": None, "booted": second, "rollback": first}
        assert guest.run("cat /usr/lib/update-number").stdout == "2\n"
        guest.wait_until_running()
        guest.poweroff()


def _publish(base: image.BuiltImage, registry: Registry, name: str, *, number: int) -> str:
    """Build an update of `base` with another initramfs, push it, and return its digest."""
    with steps.step(f"Publishing update {number}, with another initramfs"):
        built = image.build(
            f"localhost/bootcpy-initramfs:{number}",
            containerfile=_CONTAINERFILE,
            context=_CONTAINERFILE.parent,
            arguments={"NUMBER": str(number)},
            base=base.reference,
        )
        push(built, registry, name)
    return built.digest


def _refuse(guest: Guest, command: str, pattern: str) -> Completed:
    """Run what must fail with one error that matches `pattern`, and a hint."""
    ended = guest.run(command, check=False, timeout_s=300)
    assert ended.status == 1, ended.stderr
    error, hint = ended.stderr.splitlines()[-2:]
    assert re.fullmatch(f"error: {pattern}", error), ended.stderr
    assert hint.startswith("hint: "), ended.stderr
    return ended


def _fetched(registry: Registry, *, since: int, among: list[str]) -> list[str]:
    """Return which of the blobs were delivered after the first `since` requests."""
    paths = {
        path
        for method, path, status in registry.requests()[since:]
        if (method, status) == ("GET", 200)
    }
    return [digest for digest in among if any(digest in path for path in paths)]
