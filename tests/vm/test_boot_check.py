"""An update that a shutdown could not finish is told of. `test_power_cut` has the other kind."""

import shlex

import pytest

from tests.vm.conftest import Resume
from tests.vm.updates import NAME, digests, failed_units, publish, trust, wait_until_started
from tools import image
from tools.guest import Guest
from tools.registry import Registry

_MOTD = "cat /run/motd.d/50-bootc"
_HINT = "run the same `bootc switch` to stage it again"


@pytest.mark.slow
def test_a_lost_update_is_told(
    built_image: image.BuiltImage, registry: Registry, resume: Resume
) -> None:
    second = publish(built_image, registry, number=2)
    name = registry.from_guest(NAME)
    what = f"the update to docker://{name} ({second})"
    with resume() as guest:
        assert guest.run("systemctl is-active bootc-status-updated.path").stdout == "active\n"
        # Nothing of ours was run at this boot.
        assert _result(guest, "bootc-boot-check.service") == "no"
        timer = "systemctl is-enabled bootc-fetch-apply-updates.timer"
        assert guest.run(timer, check=False).stdout == "disabled\n"

        trust(guest, registry)
        guest.run(f"bootc switch --quiet {name}", timeout_s=300)
        wait = (
            f"for _ in $(seq 60); do [ -e /run/motd.d/50-bootc ] && break; sleep 1; done; {_MOTD}"
        )
        assert guest.run(wait).stdout == f"bootc: {name} is staged; the next boot runs it.\n"
        # What makes the boot menu fails while the system shuts down.
        guest.run("mount --bind /bin/false /usr/lib/bootc/grub-menu")
        guest.reboot()

        assert digests(guest) == {"staged": None, "booted": built_image.digest, "rollback": None}
        wait_until_started(guest)
        failed = ["bootc-boot-check.service", "ostree-boot-complete.service"]
        assert failed_units(guest) == failed
        warning, hint = guest.run("bootc status --json").stderr.splitlines()
        assert warning.startswith(f"warning: {what}, staged ")
        reason = warning.partition(" was not applied: ")[2]
        assert "Bootloader write config" in reason
        assert hint == f"hint: {_HINT}"
        assert guest.run(_MOTD).stdout == f"bootc: {warning.removeprefix('warning: ')}; {_HINT}.\n"

        guest.reboot(f"bootc switch --quiet --apply {name}", timeout_s=300)

        assert digests(guest)["booted"] == second
        guest.wait_until_running()
        assert _result(guest, "bootc-boot-check.service") == "yes"
        assert guest.run("bootc status --json").stderr == ""
        assert guest.run(_MOTD, check=False).stdout == ""
        guest.poweroff()


def _result(guest: Guest, unit: str) -> str:
    """Tell whether the conditions of a unit were met in this boot."""
    ask = f"systemctl show --property=ConditionResult --value {shlex.quote(unit)}"
    return guest.run(ask).stdout.strip()
