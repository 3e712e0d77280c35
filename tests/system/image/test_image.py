"""Images of a host: listing them, and taking them to podman's storage."""

import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.support.booted_host import BootedHost
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, Node, write_image

pytestmark = IN_CONTAINER


@pytest.fixture
def host(tmp_path: Path) -> Iterator[BootedHost]:
    """A host that runs an image of two layers from an OCI layout."""
    host = BootedHost.make(tmp_path)
    host.fake_program("systemctl")
    host.deploy(host.commit(), "[origin]\nrefspec=debian:stable\n")
    host.boot()
    upper: dict[str, Node] = {
        "etc/.wh.shipped": "",
        "etc/added": "1\n",
        "usr/bin/link": ("../lib/os-release",),
    }
    write_image(tmp_path / "layout", [BASE, upper], version="7")
    finished = host.bootc("switch", "--transport", "oci", str(tmp_path / "layout"))
    assert finished.returncode == 0, finished.stderr
    host.reboot()
    yield host
    host.release()


def test_list_names_what_the_repository_holds(host: BootedHost, tmp_path: Path) -> None:
    name = f"oci:{tmp_path}/layout"
    listed = host.bootc("image", "list", "--format", "json")
    assert json.loads(listed.stdout) == [{"image_type": "host", "image": name}]
    rows = [line.split() for line in host.bootc("image", "list").stdout.splitlines()]
    assert rows == [["REPOSITORY", "TYPE"], [name, "host"]]
    assert host.bootc("image", "list", "--type=logical", "--format=json").stdout == "[]\n"


def test_list_of_the_host_needs_a_host(host: BootedHost) -> None:
    in_container = {"container": "podman"}
    finished = host.bootc("image", "list", "--type=host", environment=in_container)
    assert finished.returncode == 1
    assert finished.stderr == (
        "error: Listing host images requires a booted bootc system\n"
        "hint: run it on a host that bootc installed\n"
    )
    finished = host.bootc("image", "list", "--format=json", environment=in_container)
    assert (finished.returncode, finished.stdout) == (0, "[]\n")


def test_copy_to_storage(host: BootedHost, tmp_path: Path) -> None:
    storage = tmp_path / "storage.conf"
    storage.write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{tmp_path}/graph"\nrunroot = "{tmp_path}/r"\n',
        encoding="utf-8",
    )
    environment = {"CONTAINERS_STORAGE_CONF": str(storage)}
    stored = next(host.root.glob("ostree/deploy/default/deploy/*.0/usr/etc/added"))
    finished = host.bootc("image", "copy-to-storage", environment=environment)
    assert finished.returncode == 0, finished.stderr
    first, second = finished.stdout.splitlines()
    target = "containers-storage:localhost/bootc"
    assert first == f"Copying local image oci:{tmp_path}/layout to {target} ..."
    assert second.startswith(f"Pushed: {target} sha256:")

    copy = tmp_path / "copy"
    subprocess.run(
        ["skopeo", "copy", "--quiet", f"{target}:latest", f"dir:{copy}"],
        env=os.environ | environment,
        check=True,
    )
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    config = json.loads(
        (copy / manifest["config"]["digest"].partition(":")[2]).read_text(encoding="utf-8")
    )
    assert config["config"]["Labels"]["version"] == "7"
    base, upper = (
        _members(copy / layer["digest"].partition(":")[2]) for layer in manifest["layers"]
    )
    assert {"etc/shipped", "usr/lib/os-release", "sysroot", "usr/bin"} <= set(base)
    assert "usr/etc" not in base
    files = {name: member for name, member in upper.items() if not member.isdir()}
    assert set(files) == {"etc/.wh.shipped", "etc/added", "usr/bin/link"}
    assert files["usr/bin/link"].linkname == "../lib/os-release"
    assert files["etc/added"].size == stored.stat().st_size
    # Its parents are the base's; to describe them here would change them.
    assert [name for name, member in upper.items() if member.isdir()] == []


def test_copy_to_storage_of_an_image_that_is_not_there(host: BootedHost) -> None:
    finished = host.bootc("image", "copy-to-storage", "--source", "docker://quay.io/x/y:1")
    assert finished.returncode == 1
    expected = (
        "error: docker://quay.io/x/y:1 is not in the repository\nhint: see `bootc image list`\n"
    )
    assert expected in finished.stderr


def _members(layer: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(layer) as tar:
        return {member.name.strip("/").removeprefix("./"): member for member in tar}
