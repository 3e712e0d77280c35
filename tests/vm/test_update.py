"""A host takes updates from a registry, with the kernel arguments they bring, and goes back."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.vm.conftest import Boot
from tests.vm.updates import NAME, digests, manifest, publish, trust
from tools import image, qemu, steps
from tools.registry import Registry


@pytest.mark.slow
def test_update_and_back(
    built_image: image.BuiltImage,
    base_disk: Callable[[str], Path],
    overlay: Callable[[Path], qemu.Disk],
    registry: Registry,
    boot: Boot,
) -> None:
    second = publish(built_image, registry, number=2)
    name = registry.from_guest(NAME)
    with boot(overlay(base_disk("ext4"))) as guest:
        guest.wait_until_running()
        trust(guest, registry)
        guest.run("echo local > /etc/added; echo kept > /var/lib/probe; rm /etc/issue.net")
        before = len(registry.requests())  # other tests use this registry as well
        with steps.step("Switching to the image in the registry"):
            guest.reboot(f"bootc switch --apply {name}", timeout_s=300)

        assert digests(guest) == {"staged": None, "booted": second, "rollback": built_image.digest}
        assert "update.number=2" in guest.run("cat /proc/cmdline").stdout.split()
        assert guest.run("cat /usr/lib/update-number").stdout == "2\n"
        assert guest.run("cat /etc/added /var/lib/probe").stdout == "local\nkept\n"
        assert guest.run("ls /etc/issue.net", check=False).status != 0
        assert "# version 2" in guest.run("cat /etc/skel/.profile").stdout
        guest.wait_until_running()
        assert guest.run("bootc upgrade --check").stdout == f"No changes in: docker://{name}\n"
        # Everything below the new layer was there already, under another digest.
        asked = registry.requests()[before:]
        fetched = [path for method, path, status in asked if (method, status) == ("GET", 200)]
        layers = json.loads(manifest(registry))["layers"]
        assert [
            layer["digest"] for layer in layers if any(layer["digest"] in path for path in fetched)
        ] == [layers[-1]["digest"]]

        third = publish(built_image, registry, number=3)
        checked = guest.run("bootc upgrade --check").stdout
        assert checked.startswith(f"Update available for: docker://{name}\n  Version: 13.3\n")
        update = json.loads(guest.run("bootc status --json").stdout)["status"]["booted"]
        assert update["cachedUpdate"]["imageDigest"] == third
        guest.reboot("bootc upgrade --apply", timeout_s=300)

        assert digests(guest) == {"staged": None, "booted": third, "rollback": second}
        arguments = guest.run("cat /proc/cmdline").stdout.split()
        assert "update.number=3" in arguments
        assert "update.number=2" not in arguments
        guest.reboot("bootc rollback --apply")

        assert digests(guest) == {"staged": None, "booted": second, "rollback": third}
        assert "update.number=2" in guest.run("cat /proc/cmdline").stdout.split()
        guest.wait_until_running()
        guest.poweroff()
