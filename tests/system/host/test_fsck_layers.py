"""`bootc internals fsck` finds deployments that are not what their images' layers make."""

import json
from pathlib import Path

from bootcpy.model.host.origin import render_origin
from bootcpy.model.image.reference import ImageReference, SignedImageReference
from tests.system.support.booted_host import BootedHost
from tests.system.support.installed_host import answer
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, write_image

pytestmark = IN_CONTAINER


def _findings(host: BootedHost, *words: str) -> tuple[int, list[str]]:
    """Return the status of fsck, and what it says of layers."""
    finished = host.bootc("internals", "fsck", *words)
    lines = (finished.stdout + finished.stderr).splitlines()
    return finished.returncode, [line for line in lines if "layers: " in line or "ok: l" in line]


def _deploy_poisoned(host: BootedHost, layout: Path, importer: str = "bootcpy 0.1.0") -> str:
    """Deploy another tree under the image's name and manifest; return its commit."""
    (found,) = json.loads((layout / "index.json").read_text(encoding="utf-8"))["manifests"]
    manifest = (layout / "blobs" / found["digest"].replace(":", "/")).read_text(encoding="utf-8")
    config = layout / "blobs" / json.loads(manifest)["config"]["digest"].replace(":", "/")
    booted = host.status()["status"]["booted"]["ostree"]["checksum"]
    (host.root.parent / "evil/usr/bin").mkdir(parents=True)
    (host.root.parent / "evil/usr/bin/sudo").write_text("evil", encoding="utf-8")
    (host.root.parent / "evil/usr/bin").chmod(0o700)
    metadata = {
        "ostree.manifest-digest": found["digest"],
        "ostree.manifest": manifest,
        "ostree.container.image-config": config.read_text(encoding="utf-8"),
        "ostree.importer.version": importer,
    }
    commit = host.ostree(
        *("commit", "--no-bindings", "--branch=evil", f"--tree=ref={booted}"),
        *("--tree=dir=" + str(host.root.parent / "evil"), "--owner-uid=0", "--owner-gid=0"),
        *(f"--add-metadata-string={key}={text}" for key, text in metadata.items()),
    ).strip()
    host.deploy(commit, render_origin(SignedImageReference(ImageReference.parse(f"oci:{layout}"))))
    host.boot()
    return commit


def _forget(host: BootedHost) -> None:
    for ref in host.ostree("refs", "--list", "bootcpy").split():
        host.ostree("refs", "--delete", ref)


def test_what_was_checked_is_well(host: BootedHost, layout: Path) -> None:
    write_image(layout, [BASE, {"usr/v": "2"}], version="2")
    answer(host, "upgrade")
    host.reboot()
    refs = host.ostree("refs")
    assert _findings(host) == (0, ["ok: layers"])
    assert host.ostree("refs") == refs
    host.ostree("fsck", "--quiet")


def test_a_poisoned_deployment_is_named(host: BootedHost, layout: Path) -> None:
    commit = _deploy_poisoned(host, layout)
    status, (line,) = _findings(host)
    assert status == 1
    assert line.startswith(f"fsck error: layers: oci:{layout} sha256:")
    assert f"(commit {commit}) is poisoned: it differs from its layers in " in line
    assert "it differs from its layers in /usr/bin/sudo; do not trust it" in line


def test_other_programs_may_merge_directories_otherwise(host: BootedHost, layout: Path) -> None:
    _deploy_poisoned(host, layout, importer="0.15.3")
    status, (line,) = _findings(host)
    assert status == 1
    assert "it differs from its layers in /usr/bin/sudo; do not trust it" in line


def test_what_was_never_checked_is_unknown_until_it_is_fetched(
    host: BootedHost, layout: Path
) -> None:
    _forget(host)
    status, (line,) = _findings(host)
    assert status == 0
    assert line.startswith(f"unknown: layers: oci:{layout} sha256:")
    assert ": 1 of its layers were stored by another program or an older version" in line
    assert _findings(host, "--fetch") == (0, ["ok: layers"])
    answer(host, "internals", "cleanup")
    assert _findings(host) == (0, ["ok: layers"])

    commit = _deploy_poisoned(host, layout)
    _forget(host)
    status, (line,) = _findings(host, "--fetch")
    assert status == 1
    assert f"(commit {commit}) is poisoned" in line


def test_what_can_no_longer_be_fetched_stays_unknown(host: BootedHost, layout: Path) -> None:
    _forget(host)
    write_image(layout, [BASE, {"usr/v": "2"}], version="2")
    status, (line,) = _findings(host, "--fetch")
    assert status == 0
    assert line.endswith(f": oci:{layout} has another version in the registry now")
