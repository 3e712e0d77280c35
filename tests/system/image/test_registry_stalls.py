"""A registry that stops sending: it is not waited for without end, and what came is kept."""

import json
import os
import re
from pathlib import Path

import pytest

from tests.system.support.booted_host import BootedHost
from tests.system.support.disks import install, words_for
from tests.system.support.faulty_registry import FaultyRegistry, serving
from tests.system.support.installed_host import digests
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, write_image

pytestmark = IN_CONTAINER

# Long enough that a busy machine answers in time, where it answers at all.
PATIENCE = {"BOOTC_STALL_TIMEOUT": "5"}
NOISE = os.urandom(3_000_000)


def environment_for(registry: FaultyRegistry, home: Path) -> dict[str, str]:
    """Return the environment of a user whose configuration says that there is no TLS."""
    file = home / ".config/containers/registries.conf"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(registry.configuration, encoding="utf-8")
    return {"HOME": str(home)} | PATIENCE


def assert_matches(pattern: str, text: str) -> None:
    assert re.search(pattern, text), text


@pytest.mark.parametrize("way", ["stalled", "trickling", "silent"])
def test_a_layer_that_stops_coming_is_given_up(host: BootedHost, tmp_path: Path, way: str) -> None:
    served = tmp_path / "served"
    with serving(served) as registry:
        environment = environment_for(registry, tmp_path)
        digest = write_image(served, [BASE, {"usr/small": "x"}, {"usr/big": NOISE}], version="2")
        base, small, big = (layer["digest"] for layer in json.loads(registry.manifest())["layers"])
        setattr(registry, way, big)
        failed = host.bootc("switch", registry.name, environment=environment)
        *story, error, hint = failed.stderr.splitlines()
        patience_s = 20 if way == "silent" else 5  # for an answer, and for what comes after it
        given_up = f"registry 127.0.0.1:.* stopped sending layer {big} of .* for {patience_s} s"
        assert failed.returncode == 1
        assert_matches(f"error: {given_up}", error)
        assert_matches("hint: .*BOOTC_STALL_TIMEOUT.*; complete layers are kept", hint)
        assert_matches(f"{given_up}; trying again in 1 s", "\n".join(story))
        assert registry.requested.count(big) == 2
        assert digests(host)["staged"] is None

        # The lock is free again, and only what is missing is asked for.
        setattr(registry, way, None)
        registry.requested.clear()
        finished = host.bootc("switch", registry.name, environment=environment)
        assert finished.returncode == 0, finished.stderr
        assert digests(host)["staged"] == digest
        if way != "silent":  # else the proxy could not be asked whether the others were whole
            assert {base, small, big} & set(registry.requested) == {big}


def test_a_manifest_that_does_not_come_is_given_up(host: BootedHost, tmp_path: Path) -> None:
    served = tmp_path / "served"
    write_image(served)
    with serving(served) as registry:
        environment = environment_for(registry, tmp_path)
        registry.silent = "manifest"
        failed = host.bootc("switch", registry.name, environment=environment)
        *_, error, hint = failed.stderr.splitlines()
        assert failed.returncode == 1
        assert_matches(
            "error: registry 127.0.0.1:.* or a mirror of it, has not answered about .* for 20 s",
            error,
        )
        assert_matches("hint: .*BOOTC_STALL_TIMEOUT", hint)
        assert "Traceback" not in failed.stderr


def test_a_timeout_that_is_no_number_is_refused(image: str, disk_file: Path) -> None:
    env = {"BOOTC_STALL_TIMEOUT": "soon"}
    done = install(*words_for(image, disk_file, "--via-loopback"), env=env)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == [
        "error: BOOTC_STALL_TIMEOUT is 'soon', not a number of seconds",
        "hint: set it to a whole number (0 means no timeout), or unset it",
    ]
    assert disk_file.stat().st_blocks == 0
