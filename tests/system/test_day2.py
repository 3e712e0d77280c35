"""upgrade, switch, rollback and edit on hosts that seem booted, from OCI layouts."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from bootcpy.model.image import ImageReference, SignedImageReference
from bootcpy.model.progress import Silent
from bootcpy.ostree import importer, sysroot
from bootcpy.system import skopeo
from tests.system.booted_host import BootedHost
from tests.system.faulty_registry import FaultyRegistry, serving
from tests.system.oci_layout import BASE, KERNEL, Node, write_image

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/run/.containerenv").exists(),
    reason="mounts over /sysroot, /boot and /run: runs as root in a container of the image",
)

_APPLIED = "Staged deployment will now be applied on reboot"
_KARGS_1 = {"usr/lib/bootc/kargs.d/10-a.toml": 'kargs = ["a=1", "shared"]\n'}
_KARGS_2 = {"usr/lib/bootc/kargs.d/10-a.toml": 'kargs = ["a=2", "shared"]\n'}


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return tmp_path / "layout"


@pytest.fixture
def host(tmp_path: Path, layout: Path) -> Iterator[BootedHost]:
    """A host that runs version 1 of the image in `layout`, installed by our own code."""
    write_image(layout, [BASE | _KARGS_1])
    host = BootedHost.make(tmp_path)
    host.fake_program("systemctl")
    reference = ImageReference.parse(f"oci:{layout}")
    with skopeo.opened(reference) as image:
        commit = importer.pull(
            host.root / "ostree/repo", image, record_as=reference, progress=Silent()
        )
    sysroot.deploy(
        host.root,
        commit,
        stateroot="default",
        origin=SignedImageReference(reference),
        kargs=["root=UUID=x", "rw", "a=1", "shared"],
    )
    host.boot()
    yield host
    host.release()


def _bootc(host: BootedHost, *words: str) -> list[str]:
    """Run bootc, which must succeed, and return the lines of its answer."""
    finished = host.bootc(*words)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()


def _refused(host: BootedHost, *words: str) -> str:
    """Run bootc, which must refuse, and return its message."""
    before = _without_updates(host.status())
    finished = host.bootc(*words)
    assert finished.returncode == 1, finished.stdout
    assert _without_updates(host.status()) == before
    assert "error: " in finished.stderr, finished.stderr
    message, *_ = [line for line in finished.stderr.splitlines() if line.startswith("error: ")]
    return message.removeprefix("error: ")


def _without_updates(document: dict[str, Any]) -> dict[str, Any]:
    """Drop what only says that an update was seen."""
    for entry in document["status"].values():
        if isinstance(entry, dict):
            entry.pop("cachedUpdate", None)
    return document


def _digests(host: BootedHost) -> dict[str, str | None]:
    status = host.status()["status"]
    return {
        slot: status[slot] and status[slot]["image"]["imageDigest"]
        for slot in ("staged", "booted", "rollback")
    }


def test_upgrade_without_an_update_does_nothing(host: BootedHost) -> None:
    before = host.status()
    assert _bootc(host, "upgrade", "--apply") == ["No update available."]
    assert host.status() == before


def test_upgrade_stages_finalizes_and_rolls_back(host: BootedHost, layout: Path) -> None:
    first = host.status()["status"]["booted"]["image"]["imageDigest"]
    second = write_image(layout, [BASE | _KARGS_1, _KARGS_2], version="2")
    lines = _bootc(host, "upgrade")
    shown = f"ostree-unverified-image:oci:{layout}"
    assert lines[:3] == [f"Queued for next boot: {shown}", "  Version: 2", f"  Digest: {second}"]
    assert lines[3].startswith("Total new layers: 2     Size: ")
    assert lines[4].startswith("Removed layers:   0     Size: ")
    assert lines[5].startswith("Added layers:     1     Size: ")
    assert _digests(host) == {"staged": second, "booted": first, "rollback": None}
    required = (host.run_directory / "reboot-required").read_text(encoding="utf-8")
    assert required == f"bootc: Reboot required for image: {second}\n"
    assert (host.root / "ostree/bootc").is_dir()

    assert _bootc(host, "upgrade") == ["Staged update present, not changed"]
    host.reboot()
    assert _digests(host) == {"staged": None, "booted": second, "rollback": first}
    assert host.kargs()[:-1] == ["root=UUID=x", "rw", "shared", "a=2"]
    host.ostree("fsck", "--quiet")

    assert _bootc(host, "rollback") == ["Next boot: rollback deployment"]
    assert host.status()["status"]["rollbackQueued"] is True
    assert _bootc(host, "rollback") == [
        "notice: Reverting queued rollback state",
        "Next boot: current deployment",
    ]
    assert host.status()["status"]["rollbackQueued"] is False
    _bootc(host, "rollback")
    host.reboot()
    assert _digests(host) == {"staged": None, "booted": first, "rollback": second}
    assert host.kargs()[:-1] == ["root=UUID=x", "rw", "a=1", "shared"]


def test_upgrade_drops_the_arguments_of_a_kargs_d_that_vanished(
    host: BootedHost, layout: Path
) -> None:
    write_image(layout, [BASE], version="2")
    _bootc(host, "upgrade")
    host.reboot()
    assert host.kargs()[:-1] == ["root=UUID=x", "rw"]


def test_upgrade_check_reports_and_remembers(host: BootedHost, layout: Path) -> None:
    assert _bootc(host, "upgrade", "--check") == [f"No changes in: oci:{layout}"]
    second = write_image(layout, [BASE | _KARGS_1, _KARGS_2], version="2")
    lines = _bootc(host, "upgrade", "--check")
    assert lines[:3] == [
        f"Update available for: oci:{layout}",
        "  Version: 2",
        f"  Digest: {second}",
    ]
    status = host.status()["status"]
    assert status["staged"] is None
    assert status["booted"]["cachedUpdate"]["imageDigest"] == second


def test_upgrade_check_forgets_an_update_that_was_withdrawn(host: BootedHost, layout: Path) -> None:
    write_image(layout, [BASE | _KARGS_1, _KARGS_2], version="2")
    _bootc(host, "upgrade", "--check")
    first = write_image(layout, [BASE | _KARGS_1])
    assert _bootc(host, "upgrade", "--check") == [f"No changes in: oci:{layout}"]
    booted = host.status()["status"]["booted"]
    assert booted["cachedUpdate"]["imageDigest"] == booted["image"]["imageDigest"] == first


def test_upgrade_download_only_is_held_back_and_released(host: BootedHost, layout: Path) -> None:
    second = write_image(layout, [BASE, {"usr/new": "x"}], version="2")
    lines = _bootc(host, "upgrade", "--download-only")
    assert lines[0] == "Image downloaded, but will not be applied on reboot"
    assert host.status()["status"]["staged"]["downloadOnly"] is True
    assert not (host.run_directory / "reboot-required").exists()
    first = _digests(host)["booted"]
    host.reboot()
    assert _digests(host) == {"staged": None, "booted": first, "rollback": None}

    _bootc(host, "upgrade", "--download-only")
    assert _bootc(host, "upgrade", "--from-downloaded") == [_APPLIED]
    assert _bootc(host, "upgrade", "--from-downloaded") == [
        "Staged deployment is already set to apply on reboot"
    ]
    assert _bootc(host, "upgrade", "--download-only") == [
        "Image downloaded, but will not be applied on reboot"
    ]
    assert _bootc(host, "upgrade") == [_APPLIED]
    host.reboot()
    assert _digests(host)["booted"] == second


def test_a_download_outlives_a_reboot(host: BootedHost, layout: Path) -> None:
    assert _refused(host, "upgrade", "--from-downloaded") == "No staged deployment found"
    second = write_image(layout, [BASE, {"usr/new": "x"}], version="2")
    _bootc(host, "upgrade", "--download-only")
    host.reboot()
    layout.rename(layout.with_name("unreachable"))
    staged = _bootc(host, "upgrade", "--from-downloaded")
    assert staged[:2] == [
        f"Queued for next boot: ostree-unverified-image:oci:{layout}",
        "  Version: 2",
    ]
    host.reboot()
    assert _digests(host)["booted"] == second

    # What was rolled back is not what was downloaded.
    _bootc(host, "rollback")
    host.reboot()
    assert _refused(host, "upgrade", "--from-downloaded") == "No staged deployment found"


def test_upgrade_writes_progress_as_json_lines(host: BootedHost, layout: Path) -> None:
    write_image(layout, [BASE | _KARGS_1, {"usr/new": "x"}], version="2")
    script = "exec python3 -m bootcpy upgrade --quiet --progress-fd 3 3>/run/progress"
    finished = subprocess.run(
        host.command("sh", "-c", script),
        env=host.environment(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    text = (host.run_directory / "progress").read_text(encoding="utf-8")
    events = [json.loads(line) for line in text.splitlines()]
    assert events[0] == {"type": "Start", "version": "0.1.0"}
    pulls = [event for event in events if event.get("task") == "pulling"]
    assert pulls[-1]["type"] == "ProgressBytes"
    assert (pulls[-1]["steps"], pulls[-1]["stepsTotal"], pulls[-1]["stepsCached"]) == (1, 1, 1)
    assert pulls[-1]["bytes"] == pulls[-1]["bytesTotal"]
    last = events[-1]
    assert (last["type"], last["task"]) == ("ProgressSteps", "staging")
    assert (last["steps"], last["stepsTotal"]) == (3, 3)
    assert [(each["subtask"], each["completed"]) for each in last["subtasks"]] == [
        ("merging", True),
        ("deploying", True),
        ("bound_images", True),
        ("cleanup", True),
        ("cleanup", True),
    ]


def test_upgrade_apply_reboots_once_staged(host: BootedHost, layout: Path) -> None:
    calls = host.fake_program("systemd-run", then="kill -TERM $PPID")
    second = write_image(layout, [BASE], version="2")
    finished = host.bootc("upgrade", "--apply")
    assert finished.returncode == 143
    assert finished.stdout.splitlines()[2] == f"  Digest: {second}"
    reboot = "--quiet -- systemctl reboot --message=Initiated by bootc\n"
    assert calls.read_text(encoding="utf-8") == reboot
    assert host.bootc("upgrade", "--apply").returncode == 143
    assert calls.read_text(encoding="utf-8") == reboot * 2


def _without_tls(registry: FaultyRegistry, home: Path) -> dict[str, str]:
    """Return the environment of a user whose own configuration says that there is no TLS."""
    file = home / ".config/containers/registries.conf"
    file.parent.mkdir(parents=True)
    file.write_text(registry.configuration, encoding="utf-8")
    return {"HOME": str(home)}


def test_upgrade_goes_on_where_a_registry_left_off(host: BootedHost, tmp_path: Path) -> None:
    served = tmp_path / "served"
    noise = os.urandom(200_000)
    with serving(served) as registry:
        environment = _without_tls(registry, tmp_path)
        digest = write_image(served, [BASE, {"usr/small": "x"}, {"usr/big": noise}], version="2")
        base, small, big = (layer["digest"] for layer in json.loads(registry.manifest())["layers"])
        registry.broken = big
        failed = host.bootc("switch", registry.name, environment=environment)
        assert failed.returncode == 1
        assert "trying again in 4 s" in failed.stderr
        assert _digests(host)["staged"] is None
        assert {base, small, big} <= set(registry.requested)

        registry.broken, registry.down = None, False
        registry.requested.clear()
        finished = host.bootc("switch", registry.name, environment=environment)
        assert finished.returncode == 0, finished.stderr
        assert _digests(host)["staged"] == digest
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
        assert _digests(host)["staged"] is None

        registry.stalled = None
        registry.requested.clear()
        finished = host.bootc("switch", registry.name, environment=environment)
        assert finished.returncode == 0, finished.stderr
        assert _digests(host)["staged"] == digest
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


def test_twenty_upgrades_leave_two_images(host: BootedHost, layout: Path) -> None:
    for number in range(2, 22):
        write_image(layout, [BASE, {"usr/number": str(number)}], version=str(number))
        _bootc(host, "upgrade")
        if number % 2:
            host.reboot()
    refs = host.ostree("refs").split()
    images = [ref for ref in refs if ref.startswith("ostree/container/image/")]
    layers = [ref for ref in refs if ref.startswith("ostree/container/blob/")]
    # The base, and a layer for each deployment there was when the last one was staged.
    assert (len(images), len(layers)) == (1, 4)
    host.ostree("fsck", "--quiet")


def test_switch_follows_another_image_and_back(host: BootedHost, tmp_path: Path) -> None:
    first = _digests(host)["booted"]
    other = tmp_path / "other"
    second = write_image(other, [BASE, {"usr/other": "x"}], version="other")
    lines = _bootc(host, "switch", "--transport", "oci", str(other))
    assert lines[0] == f"Queued for next boot: ostree-unverified-image:oci:{other}"
    assert _bootc(host, "switch", "--transport=oci", str(other)) == [
        "Image specification is unchanged."
    ]
    assert host.status()["spec"]["image"] == {"image": str(other), "transport": "oci"}
    layout = tmp_path / "layout"
    queued = f"Queued for next boot: ostree-unverified-image:oci:{layout}"
    assert queued in _bootc(host, "switch", "--transport", "oci", str(layout))
    _bootc(host, "switch", "--transport", "oci", str(other))
    host.reboot()
    assert _digests(host) == {"staged": None, "booted": second, "rollback": first}
    assert "a=1" not in host.kargs()


def test_switch_from_plain_ostree_and_back(tmp_path: Path) -> None:
    host = BootedHost.make(tmp_path)
    host.fake_program("systemctl")
    plain = host.commit({"usr/plain": "x"})
    host.ostree("refs", "--create=debian:stable/amd64", plain)
    host.deploy(plain, "[origin]\nrefspec=debian:stable/amd64\n")
    host.boot()
    assert _refused(host, "upgrade") == "No image source specified"
    image = tmp_path / "image"
    digest = write_image(image)
    _bootc(host, "switch", "--transport", "oci", str(image))
    host.reboot()
    status = host.status()["status"]
    assert status["booted"]["image"]["imageDigest"] == digest
    assert status["rollback"]["ostree"]["checksum"] == plain
    assert _bootc(host, "rollback") == ["Next boot: rollback deployment"]
    host.reboot()
    assert host.status()["status"]["booted"]["ostree"]["checksum"] == plain
    host.release()


def test_rollback_discards_what_is_staged(host: BootedHost, layout: Path) -> None:
    first = _digests(host)["booted"]
    second = write_image(layout, [BASE], version="2")
    _bootc(host, "upgrade")
    host.reboot()
    third = write_image(layout, [BASE, {"usr/3": "x"}], version="3")
    _bootc(host, "upgrade")
    assert _digests(host) == {"staged": third, "booted": second, "rollback": first}
    assert _bootc(host, "rollback") == [
        f"Discarding the staged image ostree-unverified-image:oci:{layout} ({third})",
        "Next boot: rollback deployment",
    ]
    assert _digests(host)["staged"] is None
    host.reboot()
    assert _digests(host) == {"staged": None, "booted": first, "rollback": second}


def test_a_missing_deployment_directory_is_named(host: BootedHost, layout: Path) -> None:
    write_image(layout, [BASE], version="2")
    _bootc(host, "upgrade")
    host.reboot()
    checksum = host.status()["status"]["rollback"]["ostree"]["checksum"]
    lost = host.root / f"ostree/deploy/default/deploy/{checksum}.0"
    subprocess.run(["chattr", "-f", "-i", lost], check=False)
    shutil.rmtree(lost)
    for words in (["status"], ["rollback"]):
        finished = host.bootc(*words)
        assert finished.returncode == 1
        assert finished.stderr.startswith("error: the deployments of this system cannot be read: ")
        assert "Parsing deployment /ostree/boot." in finished.stderr


def test_rollback_needs_a_rollback(host: BootedHost) -> None:
    assert _refused(host, "rollback") == "No rollback available"


def test_edit_applies_a_document(host: BootedHost, tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    document: dict[str, Any] = host.status()
    file = tmp_path / "edited.yaml"
    file.write_text(json.dumps(document), encoding="utf-8")
    assert _bootc(host, "edit", "-f", str(file)) == ["Edit cancelled, no changes made."]
    other = tmp_path / "other"
    digest = write_image(other, version="other")
    document["spec"]["image"] = {"image": str(other), "transport": "oci"}
    file.write_text(json.dumps(document), encoding="utf-8")
    _bootc(host, "edit", "-f", str(file))
    assert _digests(host)["staged"] == digest
    document["spec"] = {"image": None}
    file.write_text(json.dumps(document), encoding="utf-8")
    assert _refused(host, "edit", "-f", str(file)) == "Missing image in specification"


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


@pytest.mark.parametrize(
    ("layers", "rest", "message"),
    [
        pytest.param([{"usr/x": "x"}], {}, "the image has no kernel", id="no kernel"),
        pytest.param(
            [BASE, {f"{KERNEL}-2/vmlinuz": "x"}], {}, "the image has more than one kernel", id="two"
        ),
        pytest.param([BASE], {"architecture": "s390x"}, "architecture s390x", id="architecture"),
        pytest.param(
            [BASE, {"usr/lib/bootc/kargs.d/x.toml": "kargs = 1\n"}], {}, "x.toml", id="kargs.d"
        ),
        pytest.param(
            [BASE, {"usr/lib/ostree/prepare-root.conf": "[composefs]\nenabled = yes\n"}],
            {},
            "composefs",
            id="composefs",
        ),
    ],
)
def test_upgrade_refuses_what_cannot_boot_here(
    host: BootedHost, layout: Path, layers: list[Any], rest: dict[str, Any], message: str
) -> None:
    write_image(layout, layers, **rest)
    assert message in _refused(host, "upgrade")


_ETC_CASES: dict[str, tuple[dict[str, Node], dict[str, Node], str]] = {
    "changed file, directory": ({"etc/x": "1"}, {"etc/x/y": "1"}, "echo 2 >x"),
    "unchanged file, directory": ({"etc/x": "1"}, {"etc/x/y": "1"}, "touch x"),
    "added file, directory": ({}, {"etc/x/y": "1"}, "echo 2 >x"),
    "file with another mode": ({"etc/x": "1"}, {"etc/x/y": "1"}, "chmod 600 x"),
    "file with another owner": ({"etc/x": "1"}, {"etc/x/y": "1"}, "chown 1 x"),
    "removed file, directory": ({"etc/x": "1"}, {"etc/x/y": "1"}, "rm x"),
    "added file in a directory, file": ({"etc/x/y": "1"}, {"etc/x": "1"}, "echo 2 >x/z"),
    "removed file in a directory, file": (
        {"etc/x/y": "1", "etc/x/z": "1"},
        {"etc/x": "1"},
        "rm x/y",
    ),
    "unchanged directory, file": ({"etc/x/y": "1"}, {"etc/x": "1"}, "chmod 700 x"),
    "added directory, file": ({}, {"etc/x": "1"}, "mkdir x; echo 2 >x/y"),
    "removed directory, file": ({"etc/x/y": "1"}, {"etc/x": "1"}, "rm -r x"),
    "link for a directory": ({"etc/x/y": "1"}, {"etc/x/y": "2"}, "rm -r x; ln -s shipped x"),
    "removed link, shipped again": ({"etc/x": ("shipped",)}, {"etc/x": ("shipped",)}, "rm x"),
    "changed link, directory": ({"etc/x": ("shipped",)}, {"etc/x/y": "1"}, "ln -sfn q x"),
    "pipe": ({}, {}, "mkfifo x"),
    "pipe, directory": ({}, {"etc/x/y": "1"}, "mkfifo x"),
    "deep": ({"etc/x/y/z": "1"}, {"etc/x": "1"}, "echo 2 >x/y/new"),
    "in an added directory": ({}, {"etc/x/a/b": "1"}, "mkdir x; echo 2 >x/a"),
    "directory, link into usr": ({"etc/x/y": "1"}, {"etc/x": ("/usr/lib",)}, "echo 2 >x/y"),
    "directory, link to nothing": ({"etc/x/y": "1"}, {"etc/x": ("gone",)}, "echo 2 >x/y"),
    "directory, link to nothing, removal": (
        {"etc/x/y": "1", "etc/x/z": "1"},
        {"etc/x": ("gone",)},
        "rm x/y",
    ),
    "directory, link to a directory": (
        {"etc/x/y": "1"},
        {"etc/x": ("z",), "etc/z/y": "1"},
        "echo 2 >x/new",
    ),
    "socket": ({}, {}, "mkdir x; mkfifo x/p; mknod x/c c 1 3"),
}


@pytest.mark.parametrize(("old", "new", "change"), _ETC_CASES.values(), ids=_ETC_CASES.keys())
def test_upgrade_foresees_what_the_merge_of_etc_will_do(
    host: BootedHost, layout: Path, old: dict[str, Node], new: dict[str, Node], change: str
) -> None:
    write_image(layout, [BASE | old], version="2")
    _bootc(host, "upgrade")
    host.reboot()
    second = _digests(host)["booted"]
    third = write_image(layout, [BASE | new], version="3")
    _bootc(host, "upgrade")
    deployments = host.root / "ostree/deploy/default/deploy"
    checksum = host.status()["status"]["booted"]["ostree"]["checksum"]
    subprocess.run(["sh", "-c", change], cwd=deployments / f"{checksum}.0/etc", check=True)
    # The change came after the check, so libostree shows what it makes of it.
    merged = host.finalize() == 0
    host.boot()
    if merged:
        assert _digests(host)["booted"] == third
    else:
        assert _digests(host) == {"staged": None, "booted": second, "rollback": ANY}
        assert "changes in /etc cannot be carried over" in _refused(host, "upgrade")
        return
    # What merged must not be foreseen as a conflict: the same again from the rollback.
    host.bootc("rollback")
    host.reboot()
    finished = host.bootc("upgrade")
    assert finished.returncode == 0, finished.stderr


def test_upgrade_names_what_the_merge_of_etc_leaves_behind(host: BootedHost, layout: Path) -> None:
    etc = next((host.root / "ostree/deploy/default/deploy").glob("*.0")) / "etc"
    (etc / "kept").touch()
    os.mkfifo(etc / "pipe")
    write_image(layout, version="2")
    finished = host.bootc("upgrade")
    assert finished.returncode == 0, finished.stderr
    notes = [line for line in finished.stderr.splitlines() if "/etc/" in line]
    assert notes == ["/etc/pipe is a special file; it is not carried over to the new image"]
    host.reboot()
    checksum = host.status()["status"]["booted"]["ostree"]["checksum"]
    names = {each.name for each in (etc.parent.parent / f"{checksum}.0/etc").iterdir()}
    assert "kept" in names
    assert "pipe" not in names


def test_upgrade_refuses_a_missing_image(host: BootedHost, layout: Path) -> None:
    (layout / "index.json").unlink()
    assert str(layout) in _refused(host, "upgrade")


def test_upgrade_refuses_what_rpm_ostree_layered_on(host: BootedHost) -> None:
    origin = next((host.root / "ostree/deploy/default/deploy").glob("*.origin"))
    with origin.open("a", encoding="utf-8") as file:
        file.write("[packages]\nrequested=vim;\n")
    assert _refused(host, "upgrade").startswith("Deployment contains local rpm-ostree modif")


def test_a_second_change_waits_and_names_the_first(host: BootedHost) -> None:
    held = host.sysroot()
    held.lock()
    second = subprocess.Popen(
        host.command("python3", "-m", "bootcpy", "rollback"),
        env=host.environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert second.stderr is not None
    line = second.stderr.readline()
    held.unlock()
    _, rest = second.communicate(timeout=60)
    assert "Waiting for sysroot lock held by" in line
    assert f"(process {os.getpid()})" in line
    assert "No rollback available" in rest
    assert second.returncode == 1


def test_changes_are_refused_in_a_container(host: BootedHost) -> None:
    finished = subprocess.run(
        host.command("env", "container=podman", "python3", "-m", "bootcpy", "upgrade"),
        env=host.environment(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert finished.returncode == 1
    assert finished.stderr.startswith(
        "error: Detected container; this command requires a booted host system.\n"
    )


def test_changes_leave_the_hosts_sysroot_read_only(host: BootedHost, layout: Path) -> None:
    write_image(layout, version="2")
    script = "python3 -m bootcpy upgrade >&2 || exit 9; touch /sysroot/x"
    finished = subprocess.run(
        host.command("sh", "-c", script),
        env=host.environment(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert finished.returncode == 1, finished.stderr
    assert "Read-only file system" in finished.stderr


def test_switch_mutate_in_place_only_rewrites_the_origin(host: BootedHost) -> None:
    name = next((host.root / "ostree/deploy/default/deploy").glob("*.0")).name
    finished = subprocess.run(
        [
            *("unshare", "--mount", "--propagation=private", "sh", "-c"),
            'mount --bind "$ROOT" /sysroot && exec "$@"',
            *("sh", "python3", "-m", "bootcpy", "switch", "--mutate-in-place", "quay.io/x/y:1"),
        ],
        env=host.environment(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert finished.stdout == f"Updated {name} to pull from quay.io/x/y:1\n"
    image = host.status()["status"]["booted"]["image"]["image"]
    assert image == {"image": "quay.io/x/y:1", "transport": "registry"}


def test_usr_overlay_becomes_ostree(host: BootedHost) -> None:
    calls = host.fake_program("ostree")
    assert host.bootc("usr-overlay").returncode == 0
    assert host.bootc("usroverlay", "--read-only").returncode == 0
    assert calls.read_text(encoding="utf-8") == "admin unlock\nadmin unlock --transient\n"
