"""A host takes an update from its registry, goes back, and keeps what belongs to the machine."""

import json

import pytest

from tests.vm import persistence
from tests.vm.conftest import Resume
from tests.vm.updates import Version, digests, manifest, publish_version, trust
from tools import image, steps
from tools.guest import Guest
from tools.installed_disk import FOLLOWED
from tools.registry import Registry

_NEW_LAYERS = 2  # of version 2: its package, and its other changes


@pytest.mark.slow
def test_update_and_back(built_image: image.BuiltImage, registry: Registry, resume: Resume) -> None:
    first = built_image.digest
    second = publish_version(built_image, registry, Version.SECOND)
    with resume() as guest:
        trust(guest, registry)
        with steps.step("Making the machine somebody's own"):
            persistence.do(guest, persistence.BEFORE)
            mine = persistence.answers(guest, persistence.BEFORE)
        assert mine == persistence.expected_of_old(persistence.BEFORE, mine)

        checked = guest.run("bootc upgrade --check").stdout
        assert checked.startswith(f"Update available for: docker://{FOLLOWED}\n  Version: 13.2\n")
        update = json.loads(guest.run("bootc status --json").stdout)["status"]["booted"]
        assert update["cachedUpdate"]["imageDigest"] == second
        asked = len(registry.requests())  # other tests use this registry as well
        with steps.step("Upgrading"):
            guest.reboot("bootc upgrade --apply", timeout_s=300)

        assert digests(guest) == {"staged": None, "booted": second, "rollback": first}
        assert _fetched(registry, since=asked) == _layers(registry)[-_NEW_LAYERS:]
        _check_second(guest)
        upgraded = persistence.answers(guest, persistence.BEFORE)
        assert upgraded == persistence.expected_of_new(persistence.BEFORE, mine)
        assert guest.run("bootc upgrade --check").stdout == f"No changes in: docker://{FOLLOWED}\n"
        persistence.do(guest, persistence.AFTER)
        assert persistence.answers(guest, persistence.AFTER) == persistence.expected_of_new(
            persistence.AFTER, {}
        )
        guest.reboot("bootc rollback --apply")

        assert digests(guest) == {"staged": None, "booted": first, "rollback": second}
        _check_first(guest)
        every = {**persistence.BEFORE, **persistence.AFTER}
        assert persistence.answers(guest, every) == persistence.expected_of_old(every, mine)
        boots = guest.run("journalctl --list-boots --quiet").stdout.splitlines()
        assert len(boots) == 3
        guest.poweroff()


def _check_first(guest: Guest) -> None:
    guest.wait_until_running()
    arguments = guest.run("cat /proc/cmdline").stdout.split()
    assert "console=tty0" in arguments
    assert "update.number=2" not in arguments
    assert guest.run("ls /usr/sbin/cron", check=False).status != 0
    assert guest.run("ls /usr/share/doc/skopeo/copyright").status == 0


def _check_second(guest: Guest) -> None:
    guest.wait_until_running()
    arguments = guest.run("cat /proc/cmdline").stdout.split()
    assert "console=tty0" not in arguments
    assert "console=ttyS0,115200n8" in arguments
    assert "update.number=2" in arguments
    # What the new package needs outside /usr is there, in spite of users added on the machine.
    assert guest.run("systemctl is-active cron").stdout == "active\n"
    places = "/usr/bin/crontab /var/spool/cron/crontabs"
    assert guest.run(f"stat -c %G:%a {places}").stdout == "crontab:2755\ncrontab:1730\n"
    assert guest.run("dpkg-query --show --showformat '${Status}' cron").stdout == (
        "install ok installed"
    )
    assert guest.run("ls /usr/share/doc/skopeo/copyright", check=False).status != 0


def _layers(registry: Registry) -> list[str]:
    return [layer["digest"] for layer in json.loads(manifest(registry))["layers"]]


def _fetched(registry: Registry, *, since: int) -> list[str]:
    """Return the layers of the published image that were fetched since a number of requests."""
    requests = registry.requests()[since:]
    paths = [path for method, path, status in requests if (method, status) == ("GET", 200)]
    return [digest for digest in _layers(registry) if any(digest in path for path in paths)]
