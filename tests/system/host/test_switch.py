"""switch, rollback and edit on hosts that seem booted."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.system.support.booted_host import BootedHost, tool
from tests.system.support.installed_host import answer, digests, refusal
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, write_image

pytestmark = IN_CONTAINER


def test_switch_follows_another_image_and_back(host: BootedHost, tmp_path: Path) -> None:
    first = digests(host)["booted"]
    other = tmp_path / "other"
    second = write_image(other, [BASE, {"usr/other": "x"}], version="other")
    lines = answer(host, "switch", "--transport", "oci", str(other))
    assert lines[0] == f"Queued for next boot: ostree-unverified-image:oci:{other}"
    assert answer(host, "switch", "--transport=oci", str(other)) == [
        "Image specification is unchanged."
    ]
    assert host.status()["spec"]["image"] == {"image": str(other), "transport": "oci"}
    layout = tmp_path / "layout"
    queued = f"Queued for next boot: ostree-unverified-image:oci:{layout}"
    assert queued in answer(host, "switch", "--transport", "oci", str(layout))
    answer(host, "switch", "--transport", "oci", str(other))
    host.reboot()
    assert digests(host) == {"staged": None, "booted": second, "rollback": first}
    assert "a=1" not in host.kargs()


_IN_PLACE = ("python3", "-m", "bootcpy", "switch", "--mutate-in-place", "quay.io/x/y:1")
_FOLLOWED = {"image": "quay.io/x/y:1", "transport": "registry"}


def _switch_in_place_from_outside(host: BootedHost) -> subprocess.CompletedProcess[str]:
    """Run it as an installer does, which runs from something else."""
    return subprocess.run(
        [
            *("unshare", "--mount", "--propagation=private", "sh", "-c"),
            'mount --bind "$ROOT" /sysroot && exec "$@"',
            *("sh", *_IN_PLACE),
        ],
        env=host.environment(),
        text=True,
        capture_output=True,
        check=False,
    )


def test_switch_mutate_in_place_only_rewrites_the_origin(host: BootedHost) -> None:
    name = next((host.root / "ostree/deploy/default/deploy").glob("*.0")).name
    (host.root / "ostree/deploy/another/deploy").mkdir(parents=True)  # without any deployment
    finished = _switch_in_place_from_outside(host)
    assert finished.stdout == f"Updated {name} to pull from quay.io/x/y:1\n", finished.stderr
    assert host.status()["status"]["booted"]["image"]["image"] == _FOLLOWED


def test_switch_mutate_in_place_means_the_stateroot_that_is_booted(host: BootedHost) -> None:
    booted = host.status()["status"]["booted"]["ostree"]
    tool("ostree", "admin", "stateroot-init", "another", f"--sysroot={host.root}")
    origin = "[origin]\nrefspec=debian:stable\n"
    host.deploy(host.commit({"usr/x": "1"}), origin, stateroot="another")
    writable = 'mount -o remount,bind,rw /sysroot && exec "$@"'
    finished = subprocess.run(
        host.command("sh", "-c", writable, "sh", *_IN_PLACE),
        env=host.environment(),
        text=True,
        capture_output=True,
        check=False,
    )
    name = f"{booted['checksum']}.{booted['deploySerial']}"
    assert finished.stdout == f"Updated {name} to pull from quay.io/x/y:1\n", finished.stderr
    assert host.status()["status"]["booted"]["image"]["image"] == _FOLLOWED
    other = next((host.root / "ostree/deploy/another/deploy").glob("*.origin"))
    assert "debian:stable" in other.read_text(encoding="utf-8")


def test_switch_mutate_in_place_refuses_to_guess_a_stateroot(host: BootedHost) -> None:
    tool("ostree", "admin", "stateroot-init", "another", f"--sysroot={host.root}")
    origin = "[origin]\nrefspec=debian:stable\n"
    host.deploy(host.commit({"usr/x": "1"}), origin, stateroot="another")
    deploy = host.root / "ostree/deploy"
    before = {path: path.read_text(encoding="utf-8") for path in deploy.rglob("*/deploy/*.origin")}
    finished = _switch_in_place_from_outside(host)
    assert (finished.returncode, finished.stderr) == (
        1,
        (
            "error: there are several stateroots, and none of them is booted: another, default\n"
            "hint: boot the one that is meant, or edit the .origin file of its deployment\n"
        ),
    )
    assert {path: path.read_text(encoding="utf-8") for path in before} == before
    assert len(before) == 2


def test_rollback_discards_what_is_staged(host: BootedHost, layout: Path) -> None:
    first = digests(host)["booted"]
    second = write_image(layout, [BASE], version="2")
    answer(host, "upgrade")
    host.reboot()
    third = write_image(layout, [BASE, {"usr/3": "x"}], version="3")
    answer(host, "upgrade")
    assert digests(host) == {"staged": third, "booted": second, "rollback": first}
    assert answer(host, "rollback") == [
        f"Discarding the staged image ostree-unverified-image:oci:{layout} ({third})",
        "Next boot: rollback deployment",
    ]
    assert digests(host)["staged"] is None
    host.reboot()
    assert digests(host) == {"staged": None, "booted": first, "rollback": second}


def test_rollback_needs_a_rollback(host: BootedHost) -> None:
    hint = "no other deployment has run here; see `bootc status`"
    assert refusal(host, "rollback", hint=hint) == "No rollback available"


def test_edit_applies_a_document(host: BootedHost, tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    document: dict[str, Any] = host.status()
    file = tmp_path / "edited.yaml"
    file.write_text(json.dumps(document), encoding="utf-8")
    assert answer(host, "edit", "-f", str(file)) == ["Edit cancelled, no changes made."]
    other = tmp_path / "other"
    digest = write_image(other, version="other")
    document["spec"]["image"] = {"image": str(other), "transport": "oci"}
    file.write_text(json.dumps(document), encoding="utf-8")
    answer(host, "edit", "-f", str(file))
    assert digests(host)["staged"] == digest
    document["spec"] = {"image": None}
    file.write_text(json.dumps(document), encoding="utf-8")
    message = refusal(host, "edit", "-f", str(file), hint="do not remove spec.image")
    assert message == "Missing image in specification"


def test_edit_runs_the_users_editor(host: BootedHost) -> None:
    pytest.importorskip("yaml")
    host.fake_program("my-editor")
    finished = subprocess.run(
        host.command("env", "EDITOR=my-editor", "python3", "-m", "bootcpy", "edit"),
        env=host.environment(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (0, "Edit cancelled, no changes made.\n")
