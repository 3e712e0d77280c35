"""upgrade on hosts that seem booted, from OCI layouts."""

import json
from pathlib import Path

from tests.system.support.booted_host import BootedHost, tool
from tests.system.support.installed_host import KARGS_1, KARGS_2, answer, digests, refusal
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, write_image

pytestmark = IN_CONTAINER


_DOWNLOAD = "download one with `bootc upgrade --download-only`"
_APPLIED = "Staged deployment will now be applied on reboot"


def test_upgrade_without_an_update_does_nothing(host: BootedHost) -> None:
    before = host.status()
    assert answer(host, "upgrade", "--apply") == ["No update available."]
    assert host.status() == before


def test_upgrade_stages_finalizes_and_rolls_back(host: BootedHost, layout: Path) -> None:
    first = host.status()["status"]["booted"]["image"]["imageDigest"]
    second = write_image(layout, [BASE | KARGS_1, KARGS_2], version="2")
    lines = answer(host, "upgrade")
    shown = f"ostree-unverified-image:oci:{layout}"
    assert lines[:3] == [f"Queued for next boot: {shown}", "  Version: 2", f"  Digest: {second}"]
    assert lines[3].startswith("Total new layers: 2     Size: ")
    assert lines[4].startswith("Removed layers:   0     Size: ")
    assert lines[5].startswith("Added layers:     1     Size: ")
    assert digests(host) == {"staged": second, "booted": first, "rollback": None}
    required = (host.run_directory / "reboot-required").read_text(encoding="utf-8")
    assert required == f"bootc: Reboot required for image: {second}\n"
    assert (host.root / "ostree/bootc").is_dir()

    assert answer(host, "upgrade") == ["Staged update present, not changed"]
    host.reboot()
    assert digests(host) == {"staged": None, "booted": second, "rollback": first}
    assert host.kargs()[:-1] == ["root=UUID=x", "rw", "shared", "a=2"]
    host.ostree("fsck", "--quiet")

    assert answer(host, "rollback") == ["Next boot: rollback deployment"]
    assert host.status()["status"]["rollbackQueued"] is True
    assert answer(host, "rollback") == [
        "notice: Reverting queued rollback state",
        "Next boot: current deployment",
    ]
    assert host.status()["status"]["rollbackQueued"] is False
    answer(host, "rollback")
    host.reboot()
    assert digests(host) == {"staged": None, "booted": first, "rollback": second}
    assert host.kargs()[:-1] == ["root=UUID=x", "rw", "a=1", "shared"]


def test_upgrade_drops_the_arguments_of_a_kargs_d_that_vanished(
    host: BootedHost, layout: Path
) -> None:
    write_image(layout, [BASE], version="2")
    answer(host, "upgrade")
    host.reboot()
    assert host.kargs()[:-1] == ["root=UUID=x", "rw"]


def test_upgrade_check_reports_and_remembers(host: BootedHost, layout: Path) -> None:
    assert answer(host, "upgrade", "--check") == [f"No changes in: oci:{layout}"]
    second = write_image(layout, [BASE | KARGS_1, KARGS_2], version="2")
    lines = answer(host, "upgrade", "--check")
    assert lines[:3] == [
        f"Update available for: oci:{layout}",
        "  Version: 2",
        f"  Digest: {second}",
    ]
    status = host.status()["status"]
    assert status["staged"] is None
    assert status["booted"]["cachedUpdate"]["imageDigest"] == second


def test_upgrade_check_forgets_an_update_that_was_withdrawn(host: BootedHost, layout: Path) -> None:
    write_image(layout, [BASE | KARGS_1, KARGS_2], version="2")
    answer(host, "upgrade", "--check")
    first = write_image(layout, [BASE | KARGS_1])
    assert answer(host, "upgrade", "--check") == [f"No changes in: oci:{layout}"]
    booted = host.status()["status"]["booted"]
    assert booted["cachedUpdate"]["imageDigest"] == booted["image"]["imageDigest"] == first


def test_upgrade_download_only_is_held_back_and_released(host: BootedHost, layout: Path) -> None:
    second = write_image(layout, [BASE, {"usr/new": "x"}], version="2")
    lines = answer(host, "upgrade", "--download-only")
    assert lines[0] == "Image downloaded, but will not be applied on reboot"
    assert host.status()["status"]["staged"]["downloadOnly"] is True
    assert not (host.run_directory / "reboot-required").exists()
    first = digests(host)["booted"]
    host.reboot()
    assert digests(host) == {"staged": None, "booted": first, "rollback": None}

    answer(host, "upgrade", "--download-only")
    assert answer(host, "upgrade", "--from-downloaded") == [_APPLIED]
    assert answer(host, "upgrade", "--from-downloaded") == [
        "Staged deployment is already set to apply on reboot"
    ]
    assert answer(host, "upgrade", "--download-only") == [
        "Image downloaded, but will not be applied on reboot"
    ]
    assert answer(host, "upgrade") == [_APPLIED]
    host.reboot()
    assert digests(host)["booted"] == second


def test_a_download_outlives_a_reboot(host: BootedHost, layout: Path) -> None:
    message = refusal(host, "upgrade", "--from-downloaded", hint=_DOWNLOAD)
    assert message == "No staged deployment found"
    second = write_image(layout, [BASE, {"usr/new": "x"}], version="2")
    answer(host, "upgrade", "--download-only")
    host.reboot()
    layout.rename(layout.with_name("unreachable"))
    staged = answer(host, "upgrade", "--from-downloaded")
    assert staged[:2] == [
        f"Queued for next boot: ostree-unverified-image:oci:{layout}",
        "  Version: 2",
    ]
    host.reboot()
    assert digests(host)["booted"] == second

    # What was rolled back is not what was downloaded.
    answer(host, "rollback")
    host.reboot()
    message = refusal(host, "upgrade", "--from-downloaded", hint=_DOWNLOAD)
    assert message == "No staged deployment found"


def test_upgrade_writes_progress_as_json_lines(host: BootedHost, layout: Path) -> None:
    write_image(layout, [BASE | KARGS_1, {"usr/new": "x"}], version="2")
    script = "exec python3 -m bootcpy upgrade --quiet --progress-fd 3 3>/run/progress"
    finished = host.run("sh", "-c", script)
    assert (finished.returncode, finished.stderr) == (0, "")
    text = (host.run_directory / "progress").read_text(encoding="utf-8")
    events = [json.loads(line) for line in text.splitlines()]
    assert events[0] == {"type": "Start", "version": "0.1.0"}
    pulls = [event for event in events if event.get("task") == "pulling"]
    assert pulls[-1]["type"] == "ProgressBytes"
    assert (pulls[-1]["steps"], pulls[-1]["stepsTotal"], pulls[-1]["stepsCached"]) == (1, 1, 1)
    assert pulls[-1]["bytes"] == pulls[-1]["bytesTotal"]
    imports = [event for event in events if event.get("task") == "importing"]
    assert [(each["steps"], each["stepsTotal"]) for each in imports] == [(0, 1), (1, 1)]
    assert [each["subtasks"][0]["completed"] for each in imports] == [False, True]
    first_staging = next(event for event in events if event.get("task") == "staging")
    assert events.index(pulls[-1]) < events.index(imports[0])
    assert events.index(imports[-1]) < events.index(first_staging)
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


def test_upgrade_takes_another_tag_of_the_same_directory(
    host: BootedHost, layout: Path, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    versions = {}
    for tag in ("stable", "next"):
        versions[tag] = write_image(layout, [BASE, {"usr/tag": tag}], version=tag)
        tool("skopeo", "copy", "--quiet", f"oci:{layout}", f"oci:{stick}:{tag}")
    answer(host, "switch", "--transport=oci", f"{stick}:stable")
    host.reboot()
    assert answer(host, "upgrade") == ["No update available."]
    lines = answer(host, "upgrade", "--tag=next")
    assert lines[0] == f"Queued for next boot: ostree-unverified-image:oci:{stick}:next"
    host.reboot()
    assert digests(host)["booted"] == versions["next"]
    assert host.status()["spec"]["image"] == {"image": f"{stick}:next", "transport": "oci"}
    assert answer(host, "upgrade") == ["No update available."]
