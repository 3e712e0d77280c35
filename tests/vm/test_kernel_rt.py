"""A host refuses an image without a kernel, goes to one with another kernel, and back."""

import pytest

from tests.vm.conftest import Resume
from tests.vm.updates import Version, digests, publish_version, trust
from tools import image, steps
from tools.guest import Guest
from tools.registry import Registry

_REAL_TIME = "os:rt"
_BROKEN = "os:broken"
_PREPARE = "build the image with `RUN bootc container prepare` as its last step"


@pytest.mark.slow
def test_real_time_kernel_and_back(
    built_image: image.BuiltImage, registry: Registry, resume: Resume
) -> None:
    first = built_image.digest
    publish_version(built_image, registry, Version.BROKEN, name=_BROKEN)
    real_time = publish_version(built_image, registry, Version.REAL_TIME, name=_REAL_TIME)
    with resume() as guest:
        trust(guest, registry)
        with steps.step("Switching to an image without a kernel"):
            before = _facts(guest)
            ended = guest.run(
                f"bootc switch --quiet --apply {registry.from_guest(_BROKEN)}",
                check=False,
                timeout_s=300,
            )
        assert (ended.status, ended.stdout) == (1, "")
        assert ended.stderr.splitlines() == [
            "error: the image has no kernel: there is no /usr/lib/modules/VERSION/vmlinuz",
            f"hint: install a kernel, then {_PREPARE}",
        ]
        assert _facts(guest) == before

        release = guest.run("uname -r").stdout.strip()
        with steps.step("Switching to the real-time kernel"):
            guest.reboot(f"bootc switch --apply {registry.from_guest(_REAL_TIME)}", timeout_s=600)
        assert digests(guest) == {"staged": None, "booted": real_time, "rollback": first}
        assert "PREEMPT_RT" in guest.run("uname -v").stdout.split()
        running = guest.run("uname -r; ls /usr/lib/modules").stdout.split()
        assert running == [running[0]] * 2
        assert running[0].endswith("-rt-amd64")
        # What was fetched of the refused image is gone by now.
        assert "broken" not in guest.run("ostree refs").stdout
        guest.wait_until_running()
        guest.reboot("bootc rollback --apply")

        assert digests(guest) == {"staged": None, "booted": first, "rollback": real_time}
        assert "PREEMPT_RT" not in guest.run("uname -v").stdout.split()
        assert guest.run("uname -r").stdout.strip() == release
        guest.wait_until_running()
        guest.poweroff()


def _facts(guest: Guest) -> str:
    """Return what a command that was refused must not change."""
    ask = (
        "bootc status --json; find /boot /sysroot/ostree/deploy/*/deploy -maxdepth 3 | sort;"
        " ls -A /run/ostree; cat /sysroot/ostree/deploy/*/deploy/*.origin"
    )
    return guest.run(ask).stdout
