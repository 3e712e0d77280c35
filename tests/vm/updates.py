"""What the tests of updates share: images that follow one another, and questions to the guest."""

import json
from enum import StrEnum

from tools import image, monitor, qemu, steps
from tools.guest import Guest
from tools.registry import Registry

NAME = "os:latest"
_IMAGES = image.ROOT / "images" / "updates"


class Version(StrEnum):
    """An image that follows the project's own, by the name of its Containerfile."""

    SECOND = "v2"  # changes a bit of everything
    REAL_TIME = "v3-rt"
    BROKEN = "broken"  # without a kernel


def publish(base: image.BuiltImage, registry: Registry, *, number: int, name: str = NAME) -> str:
    """Build the update `number` of `base`, push it as `name`, and return its digest."""
    with steps.step(f"Publishing update {number}"):
        built = update(base, number=number)
        push(built, registry, name)
    return built.digest


def publish_version(
    base: image.BuiltImage, registry: Registry, version: Version, *, name: str = NAME
) -> str:
    """Build a `version` of `base`, push it as `name`, and return its digest."""
    with steps.step(f"Publishing {version} as {name}"):
        built = image.build(
            f"localhost/bootcpy-update:{version}",
            containerfile=_IMAGES / f"{version}.Containerfile",
            context=_IMAGES,
            base=base.reference,
        )
        push(built, registry, name)
    return built.digest


def update(base: image.BuiltImage, *, number: int) -> image.BuiltImage:
    """Build the update `number` of `base`, which is small."""
    return image.build(
        f"localhost/bootcpy-update:{number}",
        containerfile=_IMAGES / "Containerfile",
        context=_IMAGES,
        arguments={"NUMBER": str(number)},
        base=base.reference,
    )


def push(built: image.BuiltImage, registry: Registry, name: str = NAME) -> None:
    """Have the registry serve an image as `name` from now on."""
    steps.run([
        *("skopeo", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"),
        f"containers-storage:{built.reference}",
        f"docker://{registry.here(name)}",
    ])


def trust(guest: Guest, registry: Registry) -> None:
    """Tell the guest that the registry has no TLS."""
    guest.run(
        "cat > /etc/containers/registries.conf.d/local.conf", stdin=registry.guest_configuration
    )


def plug_in(guest: Guest, disk: qemu.Disk, *, name: str) -> None:
    """Plug `disk` into the running guest, and wait until that knows it as the device `name`."""
    assert guest.machine.monitor is not None
    monitor.plug_in(guest.machine.monitor, disk)
    guest.run(f"timeout 60 sh -c 'until [ -b {name} ]; do sleep 0.2; done'; udevadm settle")


def manifest(registry: Registry, name: str = NAME) -> str:
    """Return the manifest of the image as it is published now."""
    where = f"docker://{registry.here(name)}"
    return steps.run(["skopeo", "inspect", "--raw", "--tls-verify=false", where])


def digests(guest: Guest) -> dict[str, str | None]:
    """Return which image is in which slot."""
    status = json.loads(guest.run("bootc status --json").stdout)["status"]
    return {
        slot: status[slot] and status[slot]["image"]["imageDigest"]
        for slot in ("staged", "booted", "rollback")
    }


def wait_until_started(guest: Guest) -> None:
    """Wait until systemd has nothing left to start, whether or not all of it went well."""
    guest.run("systemctl is-system-running --wait", check=False, timeout_s=120)


def failed_units(guest: Guest) -> list[str]:
    """Return the names of the units that failed in this boot."""
    ask = "systemctl list-units --failed --no-legend --plain | cut -d' ' -f1 | sort"
    return guest.run(ask).stdout.split()
