"""Updates from a registry that fails, stalls, or has nothing new."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.system.support.booted_host import BootedHost
from tests.system.support.faulty_registry import FaultyRegistry, serving
from tests.system.support.installed_host import digests
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, write_image

pytestmark = IN_CONTAINER


def _without_tls(registry: FaultyRegistry, home: Path) -> dict[str, str]:
    """Return the environment of a user whose own configuration says that there is no TLS."""
    file = home / ".config/containers/registries.conf"
    file.parent.mkdir(parents=True)
    file.write_text(registry.configuration, encoding="utf-8")
    return {"HOME": str(home)}


def test_upgrade_goes_on_where_a_registry_left_off(host: BootedHost, tmp_path: Path) -> None:
    served = tmp_path / "served"
    noise = os.urandom(500_000)  # too large to share a child and a transaction with the others
    with serving(served) as registry:
        environment = _without_tls(registry, tmp_path)
        digest = write_image(served, [BASE, {"usr/small": "x"}, {"usr/big": noise}], version="2")
        base, small, big = (layer["digest"] for layer in json.loads(registry.manifest())["layers"])
        registry.broken = big
        failed = host.bootc("switch", registry.name, environment=environment)
        assert failed.returncode == 1
        assert "trying again in 4 s" in failed.stderr
        assert digests(host)["staged"] is None
        assert {base, small, big} <= set(registry.requested)

        registry.broken, registry.down = None, False
        registry.requested.clear()
        finished = host.bootc("switch", registry.name, environment=environment)
        assert finished.returncode == 0, finished.stderr
        assert digests(host)["staged"] == digest
        assert {base, small, big} & set(registry.requested) == {big}


@pytest.mark.parametrize(
    ("signum", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_switch_that_is_stopped_keeps_whole_layers(
    host: BootedHost, tmp_path: Path, signum: signal.Signals, status: int
) -> None:
    served = tmp_path / "served"
    with serving(served) as registry:
        environment = _without_tls(registry, tmp_path)
        noise = os.urandom(5_000_000)
        digest = write_image(served, [BASE, {"usr/small": "x"}, {"usr/big": noise}], version="2")
        base, small, big = (layer["digest"] for layer in json.loads(registry.manifest())["layers"])
        registry.stalled = big
        running = subprocess.Popen(
            host.command("python3", "-m", "bootcpy", "switch", "--quiet", registry.name),
            env=host.environment() | environment,
            start_new_session=True,
        )
        assert registry.half_sent.wait(60)
        _wait_for_layers(host, 2)
        running.send_signal(signum)
        assert running.wait(60) == status
        _wait_for_end_of_group(running.pid)
        assert digests(host)["staged"] is None

        registry.stalled = None
        registry.requested.clear()
        finished = host.bootc("switch", registry.name, environment=environment)
        assert finished.returncode == 0, finished.stderr
        assert digests(host)["staged"] == digest
        assert {base, small, big} & set(registry.requested) == {big}


def _wait_for_layers(host: BootedHost, count: int) -> None:
    """Wait until the switch has written `count` layers beside the one of the installed image."""
    for _ in range(600):
        refs = host.ostree("refs").split()
        if len([ref for ref in refs if ref.startswith("ostree/container/blob/")]) > count:
            return
        time.sleep(0.1)
    raise AssertionError("the layers do not come")


def _wait_for_end_of_group(leader: int) -> None:
    """Wait until nothing is left of a process group."""
    for _ in range(100):
        try:
            os.killpg(leader, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError(f"processes of group {leader} are left")


def test_upgrade_with_nothing_new_asks_for_no_layer(host: BootedHost, tmp_path: Path) -> None:
    served = tmp_path / "served"
    write_image(served)
    with serving(served) as registry:
        environment = _without_tls(registry, tmp_path)
        host.bootc("switch", registry.name, environment=environment)
        host.reboot()
        registry.requested.clear()
        finished = host.bootc("upgrade", environment=environment)
        assert finished.stdout == "No update available.\n"
        config = json.loads(registry.manifest())["config"]["digest"]
        assert set(registry.requested) == {"manifest", config}
