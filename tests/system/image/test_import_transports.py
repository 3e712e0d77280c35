"""The same image from every kind of source."""

import subprocess
from pathlib import Path

import pytest

from bootcpy.model.image.reference import ImageReference
from bootcpy.ostree.base.objects import commit_tree
from bootcpy.ostree.base.repo import open_repo
from bootcpy.system.image.containers_storage import find_layer_trees
from tests.layers import bootable_tree, directory, file, hardlink, opaque, symlink, whiteout
from tests.system.conftest import make_repo
from tests.system.support.oci_images import LayerBlob, OciDirectory
from tests.system.support.pulls import Recorder, content, listing, pull, refs, require_sound
from tools.registry import Registry

RECORDED = ImageReference.parse("docker://quay.io/example/os:1")
LAYERS = [
    LayerBlob.of(
        *bootable_tree(),
        directory("usr/share/gone"),
        file("usr/share/gone/a", b"1"),
        directory("usr/lib"),
        file("usr/lib/old", b"old", xattrs={"user.mood": "good"}),
        hardlink("usr/lib/same", "usr/lib/old"),
        symlink("usr/lib/link", "old"),
        directory("run"),
        directory("run/lock"),
    ),
    LayerBlob.of(
        directory("etc"),
        file("etc/hosts", b"::1 localhost\n", uid=8),
        directory("usr"),
        directory("usr/share", mode=0o700, gid=9),
        opaque("usr/share"),
        file("usr/share/new", b"2"),
        directory("usr/lib"),
        whiteout("usr/lib/old"),
        directory("opt"),
        file("opt/Grüße", b"3"),
        directory("tmp", mode=0o1777),
        file("tmp/litter", b"4"),
    ),
]


def _copy(source: ImageReference, target: str) -> ImageReference:
    insecure = ["--dest-tls-verify=false"] if target.startswith("docker:") else []
    subprocess.run(["skopeo", "copy", "--quiet", *insecure, str(source), target], check=True)
    return ImageReference.parse(target)


def _require_the_tree(repo_path: Path, commit: str) -> None:
    found = listing(repo_path, commit)
    assert (
        set(found)
        == {
            "",
            "opt",
            "opt/Grüße",
            "run",
            "tmp",
            "usr",
            "usr/bin",
            "usr/bin/tool",
            "usr/etc",
            "usr/etc/hosts",
            "usr/lib",
            "usr/lib/link",
            "usr/lib/same",
            "usr/share",
            "usr/share/new",
            "var",
            "var/lib",
        }
        or found["usr/lib/link"]
    )
    assert found["usr/share"] == "d00700 0 9 0"
    assert found["usr/etc/hosts"].startswith("-00644 8 0 14")
    assert "user.mood" in found["usr/lib/same"]
    assert found["tmp"] == "d01777 0 0 0"
    assert "usr/share/notes" not in found
    assert "tmp/litter" not in found
    assert content(repo_path, commit, "/opt/Grüße") == "3"
    require_sound(repo_path)


@pytest.mark.parametrize("transport", ["oci", "oci-archive", "docker-archive", "dir"])
def test_files(repo_path: Path, oci: OciDirectory, tmp_path: Path, transport: str) -> None:
    source = oci.add_image(LAYERS)
    tag = "" if transport == "dir" else ":example/os:1" if "docker" in transport else ":1"
    image = _copy(source, f"{transport}:{tmp_path / 'copy'}{tag}")
    merged = pull(repo_path, image, record_as=RECORDED)
    assert refs(repo_path)["image/docker_3A__2F__2F_quay_2E_io/example/os_3A_1"] == merged
    _require_the_tree(repo_path, merged)


def test_registry(repo_path: Path, oci: OciDirectory, registry: Registry) -> None:
    image = _copy(oci.add_image(LAYERS), f"docker://{registry.here('example/os')}:1")
    merged = pull(repo_path, image)
    _require_the_tree(repo_path, merged)
    fetched = len(registry.requests())
    assert pull(repo_path, image) == merged
    asked = [path for method, path, _ in registry.requests()[fetched:] if method == "GET"]
    assert asked
    assert not [path for path in asked if any(layer.digest in path for layer in LAYERS)]


def test_equal_manifests_give_equal_commits_wherever_they_come_from(
    repo_path: Path, oci: OciDirectory, tmp_path: Path
) -> None:
    source = oci.add_image(LAYERS)
    merged = pull(repo_path, source, record_as=RECORDED)
    other = make_repo(tmp_path / "other")
    archive = _copy(source, f"oci-archive:{tmp_path / 'copy'}:1")
    assert pull(other, archive, record_as=RECORDED) == merged


def test_layers_are_known_by_their_content_when_compressed_otherwise(
    repo_path: Path, oci: OciDirectory, tmp_path: Path
) -> None:
    first = pull(repo_path, oci.add_image(LAYERS))
    # docker-archive holds the same layers uncompressed, under other digests.
    image = _copy(oci.add_image(LAYERS), f"docker-archive:{tmp_path / 'copy'}:example/os:1")
    story = Recorder()
    second = pull(repo_path, image, progress=story)
    assert story.notes == ["layers already present: 2; layers needed: 0 (0 B)"]
    repo = open_repo(repo_path)
    assert commit_tree(repo, first) == commit_tree(repo, second)
    require_sound(repo_path)


# ---------------------------------------------------------------------- podman's storage


def test_podman_storage_read_in_place_and_through_skopeo_gives_the_same(
    repo_path: Path, oci: OciDirectory, tmp_path: Path, storage: Path
) -> None:
    source = oci.add_image(LAYERS)
    named = _copy(source, "containers-storage:localhost/example/os:1")
    streamed = pull(repo_path, named, record_as=RECORDED)
    _require_the_tree(repo_path, streamed)

    config = oci.config_digest("latest")
    diff_ids = tuple(layer.diff_id for layer in LAYERS)
    assert find_layer_trees(config.removeprefix("sha256:"), diff_ids) is not None
    for split in storage.glob("overlay-layers/*.tar-split.gz"):
        split.unlink()  # no tar can be put together any more
    by_id = ImageReference.parse(f"containers-storage:@{config.removeprefix('sha256:')}")
    other = make_repo(tmp_path / "other")
    story = Recorder()
    in_place = pull(other, by_id, record_as=RECORDED, progress=story)
    assert listing(other, in_place) == listing(repo_path, streamed)
    assert commit_tree(open_repo(other), in_place) == commit_tree(open_repo(repo_path), streamed)
    assert story.events[-1].bytes == story.events[-1].bytes_total
    require_sound(other)


def test_podman_storage_is_matched_by_content_with_what_came_from_elsewhere(
    repo_path: Path, oci: OciDirectory, storage: Path
) -> None:
    source = oci.add_image(LAYERS)
    pull(repo_path, source)
    assert not (storage / "overlay").exists()
    named = _copy(source, "containers-storage:localhost/example/os:1")
    story = Recorder()
    pull(repo_path, named, record_as=RECORDED, progress=story)
    assert story.notes == ["layers already present: 2; layers needed: 0 (0 B)"]
