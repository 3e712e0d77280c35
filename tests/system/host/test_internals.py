"""What units and other programs call, on hosts that seem booted."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from bootcpy.model.host import document_schema, progress_schema
from tests.system.support.booted_host import BootedHost
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, write_image

pytestmark = IN_CONTAINER

_SHIPPED = Path(__file__).parents[3] / "bootcpy/data/usr/lib"
_UNITS = sorted((_SHIPPED / "systemd/system").glob("bootc-*"))
_GENERATOR = _SHIPPED / "systemd/system-generators/bootc-systemd-generator"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[BootedHost]:
    """A host that follows a plain ostree ref."""
    host = BootedHost.make(tmp_path)
    host.fake_program("systemctl")
    host.deploy(host.commit(), "[origin]\nrefspec=debian:stable\n")
    host.boot()
    yield host
    host.release()


def _run(host: BootedHost, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        host.command(*words),
        env=host.environment(),
        text=True,
        capture_output=True,
        check=False,
    )


def _links(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): str(path.readlink())
        for path in directory.rglob("*")
        if path.is_symlink()
    }


def test_the_units_are_sound() -> None:
    names = [str(path) for path in _UNITS if path.is_file()]
    assert len(names) == 8
    finished = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names],
        text=True,
        capture_output=True,
        check=False,
    )
    ours = [line for line in finished.stderr.splitlines() if "bootc-" in line]
    assert (finished.returncode, ours) == (0, [])


def test_updates_are_not_applied_unasked(tmp_path: Path) -> None:
    timer = "bootc-fetch-apply-updates.timer"
    for directory in ("system", "system-preset"):
        source = _SHIPPED / "systemd" / directory
        subprocess.run(["mkdir", "-p", str(tmp_path / "usr/lib/systemd")], check=True)
        subprocess.run(["cp", "-a", str(source), f"{tmp_path}/usr/lib/systemd"], check=True)

    def systemctl(*words: str) -> str:
        return subprocess.run(
            ["systemctl", f"--root={tmp_path}", *words],
            text=True,
            capture_output=True,
            check=False,
        ).stdout.strip()

    systemctl("preset-all")
    assert systemctl("is-enabled", timer) == "disabled"
    systemctl("enable", timer)
    assert systemctl("is-enabled", timer) == "enabled"


def test_the_generator_watches_the_status_of_a_booted_host(host: BootedHost) -> None:
    units = host.run_directory / "units"
    units.mkdir()
    for _again in range(2):
        finished = _run(host, str(_GENERATOR), "/run/units", "/run/early", "/run/late")
        assert (finished.returncode, finished.stderr) == (0, "")
        assert _links(units) == {
            f"multi-user.target.wants/{unit}": f"/usr/lib/systemd/system/{unit}"
            for unit in ("bootc-status-updated.path", "bootc-status-updated-onboot.target")
        }


def test_the_generator_makes_nothing_elsewhere(host: BootedHost) -> None:
    (host.run_directory / "ostree-booted").unlink()
    units = host.run_directory / "units"
    units.mkdir()
    assert _run(host, str(_GENERATOR), "/run/units").returncode == 0
    assert list(units.iterdir()) == []


@pytest.mark.parametrize(
    ("fstab", "root", "expected"),
    [
        ("# Created by anaconda\n", "overlay / overlay ro,relatime 0 0\n", True),
        ("# Created by anaconda\n", "overlay / overlay rw,relatime 0 0\n", False),
        ("# Created by anaconda\n", "/dev/vda3 / xfs ro 0 0\n", False),
        ("# by hand\n", "overlay / overlay ro,relatime 0 0\n", False),
        (
            "# Created by anaconda\n# Updated by bootc-fstab-edit.service\n",
            "overlay / overlay ro,relatime 0 0\n",
            False,
        ),
    ],
)
def test_the_generator_corrects_what_anaconda_wrote(
    host: BootedHost, fstab: str, root: str, *, expected: bool
) -> None:
    (host.run_directory / "units").mkdir()
    (host.run_directory / "fstab").write_text(fstab, encoding="utf-8")
    script = _GENERATOR.read_text(encoding="utf-8").replace("/proc/self/mounts", "/run/mounts")
    (host.run_directory / "mounts").write_text(f"rootfs / rootfs rw 0 0\n{root}", encoding="utf-8")
    (host.run_directory / "generator").write_text(script, encoding="utf-8")
    line = "mount --bind /run/fstab /etc/fstab && exec sh /run/generator /run/units"
    finished = _run(host, "sh", "-c", f"touch /etc/fstab; {line}")
    assert (finished.returncode, finished.stderr) == (0, "")
    link = "local-fs-pre.target.wants/bootc-fstab-edit.service"
    assert (link in _links(host.run_directory / "units")) is expected


def test_fixup_etc_fstab_changes_the_root_only(host: BootedHost) -> None:
    fstab = host.run_directory / "etc/fstab"
    fstab.parent.mkdir()
    fstab.write_text("UUID=x / ext4 defaults 0 1\n", encoding="utf-8")
    line = f"mount --bind /run/etc /etc && exec {sys.executable} -m bootcpy internals $0"
    finished = _run(host, "sh", "-c", line, "fixup-etc-fstab")
    assert finished.returncode == 0, finished.stderr
    assert fstab.read_text(encoding="utf-8") == (
        "# Updated by bootc-fstab-edit.service\nUUID=x / ext4 defaults,ro 0 1\n"
    )


def test_fsck_finds_nothing_on_a_sound_host(host: BootedHost) -> None:
    finished = host.bootc("internals", "fsck")
    assert (finished.returncode, finished.stdout) == (
        0,
        "ok: etc-resolvconf\nok: fsverity\nok: boot-entries\nok: layers\n",
    )


def test_fsck_of_a_repository_that_says_nothing_of_verity(host: BootedHost) -> None:
    host.ostree("config", "set", "ex-integrity.composefs", "maybe")
    finished = host.bootc("internals", "fsck")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "ok: fsverity" in finished.stdout.splitlines()


def test_fsck_names_what_is_wrong(host: BootedHost) -> None:
    deployment = next(host.root.glob("ostree/deploy/default/deploy/*.0"))
    (deployment / "usr/etc/resolv.conf").touch()
    kernel = next(host.root.glob("boot/ostree/*/vmlinuz-*"))
    kernel.unlink()
    host.ostree("config", "set", "ex-integrity.fsverity", "yes")
    finished = host.bootc("internals", "fsck")
    assert (finished.returncode, finished.stdout) == (1, "ok: layers\n")
    problems = finished.stderr.splitlines()
    assert [line.partition("fsck error: ")[2].partition(":")[0] for line in problems[:3]] == [
        "etc-resolvconf",
        "fsverity",
        "boot-entries",
    ]
    assert "usr/etc/resolv.conf is a zero-sized file" in problems[0]
    assert problems[2].endswith(f"/{kernel.name} is missing")
    assert problems[3:] == [
        "error: Encountered errors",
        "hint: correct the problems that are listed above",
    ]


def test_fsck_names_the_entry_of_a_deployment_that_is_gone(host: BootedHost) -> None:
    host.deploy(host.commit({"usr/x": "1"}), "[origin]\nrefspec=debian:stable\n")
    booted = (host.run_directory / "ostree-booted").read_bytes()
    host.boot()
    gone = host.status()["status"]["booted"]["ostree"]["checksum"]
    (host.run_directory / "ostree-booted").write_bytes(booted)
    directory = host.root / f"ostree/deploy/default/deploy/{gone}.0"
    subprocess.run(["chattr", "-f", "-i", str(directory)], check=False)
    shutil.rmtree(directory)
    finished = host.bootc("internals", "fsck")
    assert finished.returncode == 1
    deployments, entries, end, _ = finished.stderr.splitlines()
    assert deployments.startswith("fsck error: deployments: the deployments of this system cannot")
    assert entries.startswith("fsck error: boot-entries: /boot/loader/entries/ostree-2.conf: ")
    assert entries.endswith(" is missing")
    assert "ostree=/ostree/boot." in entries
    assert end == "error: Encountered errors"


def test_fsck_needs_a_booted_host(host: BootedHost) -> None:
    (host.run_directory / "ostree-booted").unlink()
    finished = host.bootc("internals", "fsck")
    assert finished.returncode == 1
    assert "fsck error" not in finished.stderr


def test_cleanup_removes_what_no_deployment_follows(host: BootedHost, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    for number in "12":
        write_image(layout, [BASE, {"usr/number": number}], version=number)
        finished = host.bootc("switch", "--transport", "oci", str(layout))
        assert finished.returncode == 0, finished.stderr
    host.bootc("rollback")
    host.boot()  # what was staged is gone
    finished = host.bootc("internals", "cleanup")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("Pruned images: 1 (layers: 2, objsize: ")
    assert host.ostree("refs", "--list", "ostree/container") == ""
    assert host.bootc("internals", "cleanup").stdout == ""


def test_the_schemas_fit_what_is_written(host: BootedHost, tmp_path: Path) -> None:
    host_text = host.bootc("internals", "print-json-schema", "--of", "host").stdout
    assert json.loads(host_text) == document_schema.schema()
    text = host.bootc("internals", "print-json-schema", "--of", "progress").stdout
    assert json.loads(text) == progress_schema.schema()
    layout = tmp_path / "layout"
    write_image(layout)
    words = ["-m", "bootcpy", "switch", "--transport=oci", str(layout), "--progress-fd=3"]
    finished = _run(
        host, "sh", "-c", 'exec 3>/run/progress; exec "$@"', "sh", sys.executable, *words
    )
    assert finished.returncode == 0, finished.stderr
    lines = (host.run_directory / "progress").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    validator = jsonschema.Draft202012Validator(progress_schema.schema())
    for event in events:
        validator.validate(event)
    assert {event["type"] for event in events} == {"Start", "ProgressBytes", "ProgressSteps"}
