"""Hosts as bootc and rpm-ostree leave them behind: made with `ostree` alone, managed by us."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bootcpy.model.image.reference import escape_ref
from tests.system.support.booted_host import BootedHost, tool
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, write_image

pytestmark = IN_CONTAINER

_BLOB = "ostree/container/blob"
_IMAGE = "ostree/container/image"
_CHECKED = "bootcpy/layer"
_BASEIMAGE = "ostree/container/baseimage"
_OS = "quay.io/example/os:1"


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    layout = tmp_path / "layout"
    write_image(layout, [BASE, {"usr/v": "1"}])
    return layout


@pytest.fixture
def host(tmp_path: Path, layout: Path) -> Iterator[BootedHost]:
    """A host that runs the image in `layout`, in the way that bootc installs one."""
    host = BootedHost.make(tmp_path)
    host.fake_program("systemctl")
    host.deploy(_store(host, layout), _origin(f"ostree-unverified-image:oci:{layout}"))
    (host.root / ".bootc-aleph.json").write_text("{}", encoding="utf-8")
    (host.root / "ostree/bootc/storage/overlay").mkdir(parents=True)
    host.boot()
    yield host
    host.release()


def _store(host: BootedHost, layout: Path) -> str:
    """Import the image in `layout` as ostree-ext does; return the commit of the whole."""
    (found,) = json.loads((layout / "index.json").read_text(encoding="utf-8"))["manifests"]
    manifest = _blob(layout, found["digest"]).decode()
    digests = [layer["digest"] for layer in json.loads(manifest)["layers"]]
    for digest in digests:
        archive = layout.parent / "layer.tar"
        archive.write_bytes(gzip.decompress(_blob(layout, digest)))
        host.ostree(
            *("commit", "--no-bindings", f"--branch={_layer_ref(digest)}"),
            *(f"--tree=tar={archive}", "--tar-autocreate-parents"),
            "--tar-pathname-filter=^etc/,usr/etc/",
            "--add-metadata-string=ostree.importer.version=0.15.3",
        )
    metadata = {
        "ostree.manifest-digest": found["digest"],
        "ostree.manifest": manifest,
        "ostree.container.image-config": _blob(
            layout, json.loads(manifest)["config"]["digest"]
        ).decode(),
        "ostree.importer.version": "0.15.3",
    }
    return host.ostree(
        *("commit", "--no-bindings", f"--branch={_image_ref(f'oci:{layout}')}"),
        *(f"--tree=ref={_layer_ref(digest)}" for digest in digests),
        *(f"--add-metadata-string={key}={text}" for key, text in metadata.items()),
    ).strip()


def _blob(layout: Path, digest: str) -> bytes:
    return (layout / "blobs" / digest.replace(":", "/")).read_bytes()


def _layers(layout: Path) -> list[str]:
    """Return the digests of the layers of the image in `layout`, bottom first."""
    (found,) = json.loads((layout / "index.json").read_text(encoding="utf-8"))["manifests"]
    return [layer["digest"] for layer in json.loads(_blob(layout, found["digest"]))["layers"]]


def _layer_ref(digest: str) -> str:
    return f"{_BLOB}/{digest.replace(':', '_3A_')}"


def _checked_ref(layout: Path, position: int = 0) -> str:
    """Return our own ref of a layer of the image in `layout`."""
    diff_id = hashlib.sha256(gzip.decompress(_blob(layout, _layers(layout)[position]))).hexdigest()
    return f"{_CHECKED}/tree/sha256_3A_{diff_id}"


def _image_ref(image: str) -> str:
    return f"{_IMAGE}/{escape_ref(image)}"


def _origin(reference: str, *lines: str) -> str:
    return "\n".join(("[origin]", f"container-image-reference={reference}", *lines, ""))


def _origin_file(host: BootedHost) -> Path:
    (file,) = (host.root / "ostree/deploy/default/deploy").glob("*.origin")
    return file


def _bootc(host: BootedHost, *words: str) -> str:
    finished = host.bootc(*words)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def _refs(host: BootedHost, prefix: str) -> dict[str, str]:
    names = host.ostree("refs", "--list", prefix).split()
    return {name: host.ostree("rev-parse", name).strip() for name in names}


def _upgrade(host: BootedHost, layout: Path, version: str) -> str:
    """Publish a version that differs in one layer, stage it, boot it; return its digest."""
    digest = write_image(layout, [BASE, {"usr/v": version}], version=version)
    _bootc(host, "upgrade")
    host.reboot()
    assert host.status()["status"]["booted"]["image"]["imageDigest"] == digest
    return digest


def test_its_layers_are_checked_once_and_collected(host: BootedHost, layout: Path) -> None:
    base, top = _layers(layout)
    before = _refs(host, _BLOB)
    assert _bootc(host, "upgrade") == "No update available.\n"

    write_image(layout, [BASE, {"usr/v": "2"}], version="2")
    said = host.bootc("upgrade").stderr.splitlines()
    assert said[0].startswith("layers already present: 0; layers needed: 2 (")
    assert said[1] == (
        "layers that another program or an older version stored unchecked, fetched once more: 1"
    )
    host.reboot()
    after = _refs(host, _BLOB)
    assert after[_layer_ref(base)] == _refs(host, _CHECKED)[_checked_ref(layout)]
    assert after[_layer_ref(base)] != before[_layer_ref(base)]
    assert after[_layer_ref(top)] == before[_layer_ref(top)]  # the rollback's
    kept = {_layer_ref(digest) for digest in _layers(layout)}
    write_image(layout, [BASE, {"usr/v": "3"}], version="3")
    said = host.bootc("upgrade").stderr.splitlines()
    assert said[0].startswith("layers already present: 1; layers needed: 1 (")
    host.reboot()
    kept |= {_layer_ref(digest) for digest in _layers(layout)}
    _bootc(host, "internals", "cleanup")
    assert _refs(host, _BLOB).keys() == kept
    assert len(_refs(host, _CHECKED)) == len(kept)
    assert _refs(host, _IMAGE).keys() == {_image_ref(f"oci:{layout}")}
    assert (host.root / ".bootc-aleph.json").read_text(encoding="utf-8") == "{}"
    assert (host.root / "ostree/bootc/storage/overlay").is_dir()
    host.ostree("fsck", "--quiet")


def test_what_it_downloaded_is_not_staged_unchecked(host: BootedHost, layout: Path) -> None:
    write_image(layout, [BASE, {"usr/v": "2"}], version="2")
    _store(host, layout)
    refused = host.bootc("upgrade", "--from-downloaded")
    assert "error: No staged deployment found\n" in refused.stderr
    assert _bootc(host, "upgrade").startswith("Queued for next boot: ")


_REGISTRY = {"image": _OS, "transport": "registry"}
_REMOTE = {**_REGISTRY, "signature": {"ostreeRemote": "debian"}}


@pytest.mark.parametrize(
    ("reference", "ref", "shown"),
    [
        (f"ostree-unverified-registry:{_OS}", f"docker://{_OS}", _REGISTRY),
        (f"ostree-unverified-image:docker://{_OS}", f"docker://{_OS}", _REGISTRY),
        (f"ostree-unverified-image:registry:{_OS}", f"docker://{_OS}", _REGISTRY),
        (
            f"ostree-image-signed:docker://{_OS}",
            f"docker://{_OS}",
            {**_REGISTRY, "signature": "containerPolicy"},
        ),
        (
            f"ostree-image-signed:registry:{_OS}",
            f"docker://{_OS}",
            {**_REGISTRY, "signature": "containerPolicy"},
        ),
        (f"ostree-remote-registry:debian:{_OS}", f"docker://{_OS}", _REMOTE),
        (f"ostree-remote-image:debian:docker://{_OS}", f"docker://{_OS}", _REMOTE),
        (
            "ostree-unverified-image:containers-storage:localhost/os",
            "containers-storage:localhost/os",
            {"image": "localhost/os", "transport": "containers-storage"},
        ),
        (
            "ostree-unverified-image:oci-archive:/srv/os.tar:x",
            "oci-archive:/srv/os.tar:x",
            {"image": "/srv/os.tar:x", "transport": "oci-archive"},
        ),
    ],
)
def test_what_it_follows_is_understood_and_kept(
    host: BootedHost, layout: Path, reference: str, ref: str, shown: dict[str, Any]
) -> None:
    commit = host.status()["status"]["booted"]["ostree"]["checksum"]
    for name in (ref, f"{ref}-old"):
        host.ostree("refs", f"--create={_image_ref(name)}", commit)
    host.ostree("refs", "--delete", _image_ref(f"oci:{layout}"))
    _origin_file(host).write_text(_origin(reference), encoding="utf-8")
    document = host.status()
    assert document["status"]["booted"]["image"]["image"] == shown
    assert document["spec"]["image"] == shown
    assert _bootc(host, "internals", "cleanup").startswith("Pruned images: 1 (layers: 0, ")
    assert _refs(host, _IMAGE) == {_image_ref(ref): commit}


def test_unknown_keys_of_an_origin_do_no_harm(host: BootedHost, layout: Path) -> None:
    text = _origin(
        f"ostree-unverified-image:oci:{layout}",
        "override-commit=0123",
        "custom-url=https://example.com",
        "custom-description=ours",
        "unconfigured-state=later",
        "[libostree-transient]",
        "pinned=true",
        "[vendor]",
        "key=value",
    )
    file = _origin_file(host)
    file.write_text(text, encoding="utf-8")
    layers = {_layer_ref(digest) for digest in _layers(layout)}
    booted = host.status()["status"]["booted"]
    assert (booted["pinned"], booted["incompatible"]) == (True, False)
    for version in "234":
        _upgrade(host, layout, version)
    (other,) = host.status()["status"]["otherDeployments"]
    assert other["ostree"]["checksum"] == booted["ostree"]["checksum"]
    assert (other["pinned"], other["image"]["version"]) == (True, "1")
    assert layers <= _refs(host, _BLOB).keys()
    assert file.read_text(encoding="utf-8") == text
    host.ostree("fsck", "--quiet")


@pytest.mark.parametrize("root", ["rpmostree/base/0", f"{_BASEIMAGE}/rpm-ostree/0"])
def test_what_rpm_ostree_layered_on_is_left_alone(
    host: BootedHost, layout: Path, tmp_path: Path, root: str
) -> None:
    image = _refs(host, _IMAGE)[_image_ref(f"oci:{layout}")]
    layers = {_layer_ref(digest) for digest in _layers(layout)}
    layered = host.commit({"usr/bin/vim": "vim"}, {"rpmostree.clientlayer": "true"})
    host.ostree("refs", f"--create={root}", image)
    reference = f"ostree-unverified-image:oci:{layout}"
    host.deploy(layered, _origin(reference, "[packages]", "requested=vim;"))
    host.boot()
    booted = host.status()["status"]["booted"]
    assert (booted["incompatible"], booted["image"]) == (True, None)
    assert _bootc(host, "status", "--format=humanreadable").startswith("● Booted ostree\n")
    for verb in ("upgrade", "upgrade --check"):
        refused = host.bootc(*verb.split())
        assert refused.returncode == 1
        assert refused.stderr.startswith(
            "error: Deployment contains local rpm-ostree modifications; cannot upgrade via bootc."
        )

    other = tmp_path / "other"
    bound = {"usr/lib/bootc/bound-images.d/db.image": "[Image]\n"}
    write_image(other, [BASE, bound])
    said = host.bootc("switch", "--transport=oci", str(other)).stderr.splitlines()
    assert "local rpm-ostree modifications (packages) are not kept" in said
    assert "the image binds other images (db.image), which are not fetched yet" in said
    host.reboot()
    rollback = host.status()["status"]["rollback"]
    assert rollback["ostree"]["checksum"] == layered
    assert rollback["incompatible"] is True
    assert layers <= _refs(host, _BLOB).keys()
    assert _refs(host, root) == {root: image}
    assert _bootc(host, "rollback") == "Next boot: rollback deployment\n"
    host.reboot()
    assert host.status()["status"]["booted"]["ostree"]["checksum"] == layered
    host.ostree("fsck", "--quiet")


def test_the_base_of_a_derived_commit_is_protected(host: BootedHost, layout: Path) -> None:
    base = _refs(host, _IMAGE)[_image_ref(f"oci:{layout}")]
    layers = {_layer_ref(digest) for digest in _layers(layout)}
    old = host.commit({"usr/old": "x"})
    for name in ("bootc/0", "bootc/7", "vendor/0"):
        host.ostree("refs", f"--create={_BASEIMAGE}/{name}", old)
    derived = host.commit({"usr/added": "x"}, {"bootc.derived": base})
    # The image below it is no longer followed by anything.
    host.deploy(derived, _origin(f"ostree-unverified-image:oci:{layout}2"))
    tool("ostree", "admin", "undeploy", f"--sysroot={host.root}", "1")
    host.boot()
    _bootc(host, "internals", "cleanup")
    assert set(_refs(host, f"{_BASEIMAGE}/bootc").values()) == {base}
    assert _refs(host, f"{_BASEIMAGE}/vendor") == {f"{_BASEIMAGE}/vendor/0": old}
    assert layers <= _refs(host, _BLOB).keys()
    assert _refs(host, _IMAGE) == {}
    host.ostree("ls", "-R", base)
    refs = host.ostree("refs")
    assert _bootc(host, "internals", "cleanup") == ""
    assert host.ostree("refs") == refs

    for version in "23":
        write_image(layout, [BASE, {"usr/v": version}], version=version)
        _bootc(host, "switch" if version == "2" else "upgrade", *_to(layout, version))
        host.reboot()
    _bootc(host, "internals", "cleanup")
    assert _refs(host, f"{_BASEIMAGE}/bootc") == {}
    host.ostree("fsck", "--quiet")


def _to(layout: Path, version: str) -> tuple[str, ...]:
    return ("--transport=oci", str(layout)) if version == "2" else ()


def test_images_of_other_stateroots_are_kept(
    host: BootedHost, layout: Path, tmp_path: Path
) -> None:
    tool("ostree", "admin", "stateroot-init", "other", f"--sysroot={host.root}")
    second = tmp_path / "second"
    digest = write_image(second, [BASE, {"usr/second": "x"}])
    origin = _origin(f"ostree-unverified-image:oci:{second}")
    host.deploy(_store(host, second), origin, stateroot="other")
    tool("ostree", "admin", "set-default", f"--sysroot={host.root}", "1")
    host.boot()
    layers = {_layer_ref(digest) for digest in _layers(second)}
    for version in "23":
        _upgrade(host, layout, version)
    assert layers <= _refs(host, _BLOB).keys()
    assert _image_ref(f"oci:{second}") in _refs(host, _IMAGE)
    _bootc(host, "rollback")
    host.reboot()
    status = host.status()["status"]
    assert status["booted"]["image"]["version"] == "2"
    (other,) = status["otherDeployments"]
    assert other["ostree"]["stateroot"] == "other"
    assert other["image"]["imageDigest"] == digest
    host.ostree("fsck", "--quiet")
