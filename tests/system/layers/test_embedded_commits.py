"""Images with an embedded ostree commit: real libostree, real skopeo, hand-made layers."""

import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bootcpy.errors import ImageContentError
from bootcpy.model.image.reference import ImageReference, Transport
from bootcpy.ostree.base.bindings import OSTree
from bootcpy.ostree.base.repo import open_repo
from tests.layers import Member, directory, file, hardlink, tar, whiteout
from tests.system.support.encapsulate import Attributes, Commit, labels, object_path
from tests.system.support.oci_images import LayerBlob, OciDirectory
from tests.system.support.pulls import Recorder, content, listing, ostree, pull, refs, require_sound

RECORDED = ImageReference(Transport.REGISTRY, "quay.io/example/os:latest")
RECORDED_REF = "image/docker_3A__2F__2F_quay_2E_io/example/os_3A_latest"
# Every object-set commit has this root: root's, mode 0755, without attributes.
OBJECT_SET_META = "446a0ef11b7cc167f3b603e585c7eeeeb675faa412d5ec73f62988eb0b6c5488"


def test_the_embedded_commit_is_the_same_commit_again(
    repo_path: Path, oci: OciDirectory, commit: Commit
) -> None:
    embedded = commit()
    layers = embedded.layers()
    image = oci.add_image(layers, labels=labels(layers))
    merged = pull(repo_path, image, record_as=RECORDED)
    assert ostree(repo_path, "rev-parse", f"{merged}^").strip() == embedded.commit
    assert listing(repo_path, merged) == listing(repo_path, embedded.commit)
    found = refs(repo_path)
    assert found[RECORDED_REF] == merged
    assert found[layers[0].ref] == embedded.commit
    assert found.keys() == {layer.ref for layer in layers} | {RECORDED_REF}
    assert not _is_partial(repo_path, embedded.commit)
    require_sound(repo_path)


def _is_partial(repo_path: Path, commit: str) -> bool:
    return (repo_path / f"state/{commit}.commitpartial").exists()


def test_chunks_are_kept_by_object_sets(repo_path: Path, oci: OciDirectory, commit: Commit) -> None:
    embedded = commit()
    layers = embedded.layers(chunks=1)
    pull(repo_path, oci.add_image(layers, labels=labels(layers)))
    chunk = refs(repo_path)[layers[1].ref]
    held = {path for path in listing(repo_path, chunk) if path}
    assert held == set(embedded.files[1::2])
    _, variant, _ = open_repo(repo_path).load_commit(chunk)
    assert bytes(variant.get_child_value(7).unpack()).hex() == OBJECT_SET_META
    assert variant.get_child_value(0).n_children() == 0
    assert OSTree.commit_get_timestamp(variant) == 0


@pytest.mark.parametrize("attributes", list(Attributes), ids=lambda form: form.name)
def test_every_form_of_extended_attributes_is_read(
    repo_path: Path, oci: OciDirectory, commit: Commit, attributes: Attributes
) -> None:
    embedded = commit(attributes=attributes)
    layers = embedded.layers()
    merged = pull(repo_path, oci.add_image(layers, labels=labels(layers)))
    assert "'user.mood', " in listing(repo_path, merged)["usr/share/docs/Grüße"]
    assert listing(repo_path, merged) == listing(repo_path, embedded.commit)
    require_sound(repo_path)


def test_a_commit_without_chunks_is_imported(
    repo_path: Path, oci: OciDirectory, commit: Commit
) -> None:
    embedded = commit()
    layers = embedded.layers(chunks=0)
    merged = pull(repo_path, oci.add_image(layers, labels=labels(layers)))
    assert listing(repo_path, merged) == listing(repo_path, embedded.commit)
    require_sound(repo_path)


def test_a_second_import_fetches_nothing(
    repo_path: Path, oci: OciDirectory, commit: Commit
) -> None:
    layers = commit().layers()
    image = oci.add_image(layers, labels=labels(layers))
    first = pull(repo_path, image)
    for layer in layers:
        oci.blob_path(layer.digest).unlink()
    story = Recorder()
    assert pull(repo_path, image, record_as=RECORDED, progress=story) == first
    assert story.notes == ["layers already present: 3; layers needed: 0 (0 B)"]


def test_progress_tells_chunks_from_layers(
    repo_path: Path, oci: OciDirectory, commit: Commit
) -> None:
    layers = commit().layers(chunks=1)
    derived = LayerBlob.of(file("etc/motd", b"welcome\n"))
    story = Recorder()
    pull(repo_path, oci.add_image([*layers, derived], labels=labels(layers)), progress=story)
    last = story.events[-1]
    assert [part.subtask for part in last.subtasks] == ["ostree chunk", "ostree chunk", "layer"]
    assert (last.steps, last.steps_total, last.bytes) == (3, 3, last.bytes_total)


_UPPER = (
    directory("etc", mode=0o755),
    file("etc/motd", b"welcome\n"),
    whiteout("usr/bin/alias"),
    directory("usr"),
    directory("usr/share"),
    directory("usr/share/docs", mode=0o700, uid=7),
    directory("opt"),
    file("opt/tool", b"1"),
)


@pytest.mark.parametrize(
    ("prepare_root", "kept"),
    [
        (None, False),
        ("[composefs]\nenabled = no\n", False),
        ("[composefs]\nenabled = maybe\n", True),
        ("[root]\ntransient = true\n", True),
    ],
)
def test_layers_over_the_commit_are_filtered_as_it_allows(
    repo_path: Path, oci: OciDirectory, commit: Commit, prepare_root: str | None, *, kept: bool
) -> None:
    layers = commit(prepare_root).layers()
    image = oci.add_image([*layers, LayerBlob.of(*_UPPER)], labels=labels(layers))
    merged = pull(repo_path, image)
    found = listing(repo_path, merged)
    assert content(repo_path, merged, "/usr/etc/motd") == "welcome\n"
    assert "usr/etc/hosts" in found
    assert "usr/bin/alias" not in found
    assert found["usr/share/docs"] == "d00700 7 0 0"
    assert ("opt/tool" in found) is kept
    require_sound(repo_path)


def test_links_that_podman_wrote_into_the_commits_repository_become_files(
    repo_path: Path, oci: OciDirectory, commit: Commit
) -> None:
    layers = commit().layers()
    stored = object_path("3" * 64, "file")
    upper = LayerBlob.of(
        file(stored, b"rebuilt", mode=0o755, mtime=1_700_000_000),
        hardlink("usr/bin/rebuilt", stored, mtime=1_700_000_000),
        hardlink("etc/rebuilt", stored, mtime=1_700_000_000),
        hardlink("usr/bin/old", object_path("4" * 64, "file"), mtime=1_700_000_000),
    )
    image = oci.add_image([*layers, upper], labels=labels(layers))
    merged = pull(repo_path, image)
    found = listing(repo_path, merged)
    assert found["usr/bin/rebuilt"] == found["usr/etc/rebuilt"] == "-00755 0 0 7"
    assert "usr/bin/old" not in found
    assert {path.partition("/")[0] for path in found} == {"", "usr", "sysroot", "var"}
    require_sound(repo_path)


@pytest.mark.parametrize("transport", ["oci-archive", "containers-storage", "podman's id"])
def test_other_sources_give_the_same_commit(
    repo_path: Path,
    oci: OciDirectory,
    commit: Commit,
    tmp_path: Path,
    storage: Path,
    transport: str,
) -> None:
    embedded = commit()
    layers = embedded.layers()
    source = oci.add_image([*layers, LayerBlob.of(*_UPPER)], labels=labels(layers))
    place = f"{tmp_path}/copy:1" if transport == "oci-archive" else "localhost/example/os:1"
    kind = "oci-archive" if transport == "oci-archive" else "containers-storage"
    target = f"{kind}:{place}"
    subprocess.run(["skopeo", "copy", "--quiet", str(source), target], check=True)
    assert storage.exists() is (kind == "containers-storage")
    if transport == "podman's id":
        target = f"{kind}:@{oci.config_digest('latest').removeprefix('sha256:')}"
    merged = pull(repo_path, ImageReference.parse(target), record_as=RECORDED)
    assert ostree(repo_path, "rev-parse", f"{merged}^").strip() == embedded.commit
    found = listing(repo_path, merged)
    assert content(repo_path, merged, "/usr/etc/motd") == "welcome\n"
    assert "opt/tool" not in found
    assert {path.partition("/")[0] for path in found} == {"", "usr", "sysroot", "var"}
    require_sound(repo_path)


def test_a_damaged_object_is_refused_and_whole_chunks_are_kept(
    repo_path: Path, oci: OciDirectory, commit: Commit
) -> None:
    embedded = commit()
    first, second = embedded.files[::2], embedded.files[1::2]
    damaged = embedded.chunk(second)
    victim = next(member for member in damaged if member.header.name.endswith(".file"))
    position = damaged.index(victim)
    damaged[position] = file(victim.header.name, b"altered", mode=victim.header.mode)
    good = [LayerBlob.of(*embedded.commit_layer([])), LayerBlob.of(*embedded.chunk(first))]
    layers = [*good, LayerBlob.of(*damaged)]
    with pytest.raises(ImageContentError, match="Corrupted file object"):
        pull(repo_path, oci.add_image(layers, labels=labels(layers)))
    assert refs(repo_path).keys() <= {good[1].ref}
    written = repo_path / f"objects/{embedded.commit[:2]}/{embedded.commit[2:]}.commit"
    assert not written.exists()

    whole = [*good, LayerBlob.of(*embedded.chunk(second))]
    pull(repo_path, oci.add_image(whole, labels=labels(whole)))
    require_sound(repo_path)


def _without(members: list[Member], ending: str) -> list[Member]:
    return [member for member in members if not member.header.name.endswith(ending)]


def _renamed_commit(members: list[Member]) -> list[Member]:
    (commit,) = (member for member in members if member.header.name.endswith(".commit"))
    commit.header.name = object_path("0" * 64, "commit")
    return members


_LINK = object_path("1" * 64, "file-xattrs-link")
_Change = Callable[[list[Member]], list[Member]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda members: _without(members, ".commit"), "not with a commit"),
        (lambda members: [m for m in members if m.header.name.endswith(".commit")], "a tree"),
        (lambda members: _without(members, "-link"), "has no extended attributes before it"),
        (lambda members: _without(members, ".file"), "is missing"),
        (lambda members: [*members, *members[-4:]], "occurs twice"),
        (
            lambda members: [*members, file(object_path("0" * 64, "filez"))],
            "is no object: .*filez",
        ),
        (_renamed_commit, "has another checksum"),
        (lambda members: [*members, file(_LINK, bytes(2 << 20))], "has 2097152 bytes"),
        (
            lambda members: [*members, hardlink(_LINK, object_path("2" * 64, "file-xattrs"))],
            "is a link to a missing file",
        ),
    ],
    ids=[
        "no commit",
        "no tree",
        "no attributes",
        "no files",
        "a file twice",
        "not an object",
        "renamed commit",
        "large attributes",
        "dangling attributes",
    ],
)
def test_a_malformed_commit_layer_is_refused(
    repo_path: Path, oci: OciDirectory, commit: Commit, change: _Change, message: str
) -> None:
    embedded = commit()
    layer = LayerBlob.of(*change(embedded.commit_layer(embedded.files)))
    with pytest.raises(ImageContentError, match=message) as refused:
        pull(repo_path, oci.add_image([layer], labels=labels([layer])))
    assert layer.digest in refused.value.message
    assert refs(repo_path) == {}


def test_metadata_in_a_chunk_is_refused(repo_path: Path, oci: OciDirectory, commit: Commit) -> None:
    embedded = commit()
    layers = [LayerBlob.of(*embedded.commit_layer([])) for _ in range(2)]
    layers[1] = LayerBlob.of_tar(tar(*embedded.commit_layer([]), form=tarfile.GNU_FORMAT))
    with pytest.raises(ImageContentError, match="is not part of this layer"):
        pull(repo_path, oci.add_image(layers, labels=labels(layers)))
    assert refs(repo_path) == {}


def test_a_wrong_diff_id_of_a_chunk_is_refused(
    repo_path: Path, oci: OciDirectory, commit: Commit
) -> None:
    layers = commit().layers(chunks=1)
    layers[1] = LayerBlob(layers[1].blob, "sha256:" + "0" * 64)
    with pytest.raises(ImageContentError, match="sha256:0000"):
        pull(repo_path, oci.add_image(layers, labels=labels(layers)))
    assert refs(repo_path) == {}
