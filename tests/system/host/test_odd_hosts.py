"""Hosts that were not installed by us, and hosts that are damaged."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import bootcpy
from tests.system.support.booted_host import BootedHost
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, write_image

pytestmark = IN_CONTAINER

_REF = "debian:stable/amd64"
_ORIGIN = f"[origin]\nrefspec={_REF}\n"
_UNREADABLE = "error: the deployments of this system cannot be read: "


@pytest.fixture
def host(tmp_path: Path) -> Iterator[BootedHost]:
    """A host that follows a plain ostree ref, with an older commit to go back to."""
    host = BootedHost.make(tmp_path)
    host.fake_program("systemctl")
    for version in "12":
        commit = host.commit({"usr/version": version})
        host.ostree("refs", "--delete", _REF)
        host.ostree("refs", f"--create={_REF}", commit)
        host.deploy(commit, _ORIGIN)
    host.boot()
    yield host
    host.release()


def _checksums(host: BootedHost) -> dict[str, str | None]:
    status = host.status()["status"]
    return {
        slot: status[slot] and status[slot]["ostree"]["checksum"]
        for slot in ("staged", "booted", "rollback")
    }


def _switch(host: BootedHost, layout: Path) -> "subprocess.CompletedProcess[str]":
    return host.bootc("switch", "--quiet", "--transport", "oci", str(layout))


def _directory(host: BootedHost, checksum: str | None) -> Path:
    return host.root / f"ostree/deploy/default/deploy/{checksum}.0"


def test_a_plain_host_follows_an_image_and_goes_back(host: BootedHost, tmp_path: Path) -> None:
    before = host.status()
    assert before["status"]["booted"]["image"] is None
    assert before["status"]["type"] is None
    assert host.bootc("upgrade").stderr.startswith("error: No image source specified\n")
    plain = before["status"]["booted"]["ostree"]["checksum"]
    etc = _directory(host, plain) / "etc"
    (etc / "local").write_text("kept\n", encoding="utf-8")
    write_image(tmp_path / "layout")
    assert _switch(host, tmp_path / "layout").returncode == 0
    assert _REF not in host.ostree("refs").split()
    host.reboot()
    now = _checksums(host)
    assert (now["rollback"], now["staged"]) == (plain, None)
    assert (_directory(host, now["booted"]) / "etc/local").read_text() == "kept\n"
    assert host.bootc("upgrade").stdout == "No update available.\n"
    assert host.bootc("rollback").stdout == "Next boot: rollback deployment\n"
    host.reboot()
    assert _checksums(host) == {"staged": None, "booted": plain, "rollback": now["booted"]}
    assert host.bootc("rollback").returncode == 0
    host.reboot()
    assert _checksums(host)["booted"] == now["booted"]
    host.ostree("fsck", "--quiet")


def test_a_refused_switch_keeps_the_ref(host: BootedHost, tmp_path: Path) -> None:
    write_image(tmp_path / "layout", [BASE | {"usr/lib/bootc/kargs.d/10-a.toml": "kargs = 1\n"}])
    before = host.ostree("refs", "--list", "debian:")
    finished = _switch(host, tmp_path / "layout")
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: /usr/lib/bootc/kargs.d/10-a.toml:1: kargs must")
    assert _REF in host.ostree("refs").split()
    assert host.ostree("refs", "--list", "debian:") == before
    assert _checksums(host)["staged"] is None


def test_a_relative_path_is_followed_from_everywhere(host: BootedHost, tmp_path: Path) -> None:
    """As on a disk that somebody has mounted and stands in."""
    write_image(tmp_path / "layout")
    switch = f"cd {tmp_path} && exec python3 -m bootcpy switch --quiet --transport oci layout"
    finished = subprocess.run(
        host.command("sh", "-c", switch),
        env=host.environment() | {"PYTHONPATH": str(Path(bootcpy.__file__).parents[1])},
        text=True,
        capture_output=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    followed = {"image": f"{tmp_path}/layout", "transport": "oci"}
    assert host.status()["spec"]["image"] == followed
    host.reboot()
    assert host.bootc("upgrade").stdout == "No update available.\n"
    (tmp_path / "layout").rename(tmp_path / "unplugged")
    finished = host.bootc("upgrade", "--check")
    message, hint = finished.stderr.splitlines()
    assert message.startswith(f"error: there is no image oci:{tmp_path}/layout: ")
    assert hint == "hint: check the path, and whether its disk is mounted"


def test_what_other_programs_keep_is_kept(host: BootedHost, tmp_path: Path) -> None:
    roots = ("ostree/container/baseimage/rpm-ostree/0", "rpmostree/base/0", "fedora/x86_64/stable")
    commits = {root: host.commit({"usr/root": root}) for root in roots}
    for root, commit in commits.items():
        host.ostree("refs", f"--create={root}", commit)
    for version in "123":
        write_image(tmp_path / "layout", [BASE, {"usr/v": version}], version=version)
        words = (
            ("upgrade",) if version != "1" else ("switch", "--transport=oci", f"{tmp_path}/layout")
        )
        finished = host.bootc(*words)
        assert finished.returncode == 0, finished.stderr
        host.reboot()
    for root, commit in commits.items():
        assert host.ostree("rev-parse", root).strip() == commit
        host.ostree("ls", "-R", root)
    host.ostree("fsck", "--quiet")


def test_a_damaged_origin_is_named_and_an_empty_one_can_be_lived_with(
    host: BootedHost, tmp_path: Path
) -> None:
    origin = _directory(host, _checksums(host)["rollback"])
    origin = origin.with_name(f"{origin.name}.origin")
    write_image(tmp_path / "layout")
    origin.write_text("garbage\n", encoding="utf-8")
    for finished in (host.bootc("status"), _switch(host, tmp_path / "layout")):
        assert finished.returncode == 1
        message, hint = finished.stderr.splitlines()
        assert message.startswith(_UNREADABLE)
        assert origin.name in message
        assert hint.startswith("hint: correct or empty the origin file")
    origin.write_text("[origin]\ncontainer-image-reference=nonsense\n", encoding="utf-8")
    finished = _switch(host, tmp_path / "layout")
    assert finished.stderr.startswith(f"error: {origin.name}: container-image-reference: 'nonsen")
    origin.write_text("", encoding="utf-8")
    assert _switch(host, tmp_path / "layout").returncode == 0


def test_a_missing_deployment_is_named_and_the_hint_helps(host: BootedHost, tmp_path: Path) -> None:
    lost = _checksums(host)["rollback"]
    subprocess.run(["chattr", "-f", "-i", str(_directory(host, lost))], check=False)
    shutil.rmtree(_directory(host, lost))
    write_image(tmp_path / "layout")
    assert host.bootc("rollback").stderr == host.bootc("status").stderr
    message, hint = host.bootc("status").stderr.splitlines()
    assert message.startswith(_UNREADABLE)
    assert "remove the file in /boot/loader/entries" in hint
    options = message.partition("Parsing deployment ")[2].partition(" ")[0]
    entries = (host.root / "boot/loader/entries").iterdir()
    (entry,) = [each for each in entries if options in each.read_text(encoding="utf-8")]
    entry.unlink()
    assert _checksums(host)["rollback"] is None
    assert _switch(host, tmp_path / "layout").returncode == 0
    host.reboot()
    assert host.bootc("internals", "fsck").returncode == 0


def test_a_live_medium_is_not_changed(host: BootedHost, tmp_path: Path) -> None:
    image, mounted = tmp_path / "image", tmp_path / "mounted"
    mounted.mkdir()
    subprocess.run(["truncate", "--size=200M", image], check=True)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    with _mounted(image, mounted):
        subprocess.run(["cp", "-a", f"{host.root}/.", mounted], check=True)
    write_image(tmp_path / "layout")
    with _mounted(image, mounted, "ro"):
        live = BootedHost(root=mounted, run_directory=host.run_directory, programs=host.programs)
        live.boot()
        assert live.status()["status"]["readOnly"] is True
        finished = _switch(live, tmp_path / "layout")
        assert finished.returncode == 1
        assert finished.stderr.startswith(
            "error: Cannot perform this operation: /sysroot is on a read-only block device"
        )


@contextmanager
def _mounted(image: Path, target: Path, *options: str) -> Iterator[None]:
    subprocess.run(["mount", "-o", ",".join(("loop", *options)), image, target], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", target], check=True)


def test_what_was_staged_is_in_the_journal(host: BootedHost, tmp_path: Path) -> None:
    digest = write_image(tmp_path / "layout")
    path = host.run_directory / "systemd/journal/socket"
    path.parent.mkdir(parents=True)
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal,
        ThreadPoolExecutor() as reader,  # who writes waits while nobody reads
    ):
        journal.bind(str(path))
        journal.settimeout(60)
        entry = reader.submit(_first_entry_with_id, journal)
        assert _switch(host, tmp_path / "layout").returncode == 0
        fields = entry.result()
    assert fields["MESSAGE_ID"] == "8f7a2b1c3d4e5f6a7b8c9d0e1f2a3b4c"
    assert fields["BOOTC_MANIFEST_DIGEST"] == digest
    assert fields["BOOTC_IMAGE_REFERENCE"] == f"oci:{tmp_path}/layout"


def _first_entry_with_id(journal: socket.socket) -> dict[str, str]:
    while True:  # libostree writes there as well
        lines = journal.recv(65536).decode(errors="replace").splitlines()
        fields = dict(line.split("=", 1) for line in lines if "=" in line)
        if "MESSAGE_ID" in fields:
            return fields
