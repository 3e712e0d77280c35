"""No layer is believed that was not checked: whatever other images or programs say of it."""

import gzip
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bootcpy.errors import ImageContentError
from bootcpy.model.host.space import Download
from bootcpy.model.image.reference import ImageReference
from bootcpy.ostree.base.repo import list_refs, open_repo
from bootcpy.ostree.host import gc
from bootcpy.ostree.image import export, importer
from bootcpy.system.image import skopeo
from tests.layers import Member, bootable_tree, file
from tests.refusals import refused
from tests.system.support.encapsulate import Commit, Encapsulation, labels
from tests.system.support.oci_images import LayerBlob, OciDirectory
from tests.system.support.pulls import Recorder, content, listing, ostree, pull, refs, require_sound

OS = ImageReference.parse("docker://quay.io/example/os:1")
OTHER = ImageReference.parse("docker://quay.io/example/other:1")
SUDO = "usr/bin/sudo"
BASE = LayerBlob.of(*bootable_tree())
GOOD = LayerBlob.of(file(SUDO, b"good"))
EVIL = LayerBlob.of(file(SUDO, b"evil", mode=0o4755))


def _ours(repo_path: Path) -> dict[str, str]:
    """Return the refs that vouch, without what they have in common."""
    found = list_refs(open_repo(repo_path), "bootcpy")
    return {ref.removeprefix("bootcpy/"): commit for ref, commit in found.items()}


def _record(layer: LayerBlob, role: str = "tree") -> str:
    return f"layer/{role}/{layer.diff_id.replace(':', '_3A_')}"


def _claiming(layer: LayerBlob, other: LayerBlob) -> LayerBlob:
    """Return the blob of `layer` with the diff_id of another."""
    return replace(layer, diff_id=other.diff_id)


def _sudo(repo_path: Path, commit: str) -> str:
    return content(repo_path, commit, f"/{SUDO}")


def _present(story: Recorder) -> str:
    return story.notes[0].partition(" (")[0]


def _forget(repo_path: Path) -> None:
    """Leave what a version of ours that had no refs of its own would have left."""
    for ref in _ours(repo_path):
        ostree(repo_path, "refs", "--delete", f"bootcpy/{ref}")


# ------------------------------------------------------------------- what images say of layers


def test_a_blob_cannot_be_two_tars(repo_path: Path, oci: OciDirectory) -> None:
    image = oci.add_image([BASE, EVIL, _claiming(EVIL, GOOD)])
    hint = "the image was tampered with; do not use it"
    with refused(ImageContentError, r"the diff_id .*, and also ", hint=hint):
        pull(repo_path, image)
    assert refs(repo_path) == _ours(repo_path) == {}


def test_a_blob_that_is_here_is_not_what_a_second_image_says(
    repo_path: Path, oci: OciDirectory
) -> None:
    pull(repo_path, oci.add_image([BASE, EVIL], tag="first"))
    with pytest.raises(ImageContentError, match=f"has diff_id {EVIL.diff_id}, but"):
        pull(repo_path, oci.add_image([BASE, _claiming(EVIL, GOOD)], tag="second"))
    assert _record(GOOD) not in _ours(repo_path)
    merged = pull(repo_path, oci.add_image([BASE, GOOD], tag="good"), record_as=OS)
    assert _sudo(repo_path, merged) == "good"
    require_sound(repo_path)


def test_a_good_image_is_good_after_a_bad_one_that_names_its_blob(
    repo_path: Path, oci: OciDirectory
) -> None:
    """The bad one claims that the good blob unpacks to its own tar, which is here."""
    bad = oci.add_image([BASE, EVIL, _claiming(GOOD, EVIL)], tag="bad")
    assert _sudo(repo_path, pull(repo_path, bad)) == "evil"
    assert GOOD.ref not in refs(repo_path)  # which other programs would believe
    merged = pull(repo_path, oci.add_image([BASE, GOOD], tag="good"))
    assert _sudo(repo_path, merged) == "good"
    assert refs(repo_path)[GOOD.ref] == _ours(repo_path)[_record(GOOD)]
    pull(repo_path, bad, record_as=OS)  # once more, now that others know the good blob
    assert refs(repo_path).get(GOOD.ref) in {None, _ours(repo_path)[_record(GOOD)]}


@pytest.mark.parametrize("diff_id", ["", "sha256:12", "sha256:../../x", "sha512:" + "0" * 128])
def test_what_is_no_diff_id_is_refused(repo_path: Path, oci: OciDirectory, diff_id: str) -> None:
    image = oci.add_image([BASE, replace(GOOD, diff_id=diff_id)])
    with pytest.raises(ImageContentError, match="is not a sha256 digest"):
        pull(repo_path, image)
    assert _ours(repo_path) == {}


# ------------------------------------------------------------------------------ what a layer is


def test_a_layer_that_came_as_a_chunk_is_no_tree(
    repo_path: Path, oci: OciDirectory, commit: Commit
) -> None:
    layers = [*commit().layers(), GOOD]  # an object set without a single object
    pull(repo_path, oci.add_image(layers, tag="chunks", labels=labels(layers)))
    merged = pull(repo_path, oci.add_image([BASE, GOOD], tag="honest"))
    assert _sudo(repo_path, merged) == "good"
    ours = _ours(repo_path)
    assert ours[_record(GOOD, "chunk")] != ours[_record(GOOD)]
    assert refs(repo_path)[GOOD.ref] == ours[_record(GOOD)]
    require_sound(repo_path)


def test_layers_that_came_as_trees_are_no_embedded_commit(
    repo_path: Path, oci: OciDirectory, commit: Commit
) -> None:
    embedded = commit()
    layers = embedded.layers()
    pull(repo_path, oci.add_image(layers, tag="label-lost"))
    image = oci.add_image(layers, tag="honest", labels=labels(layers))
    merged = pull(repo_path, image, record_as=OS)
    assert listing(repo_path, merged) == listing(repo_path, embedded.commit)
    assert _ours(repo_path)[_record(layers[0], "commit")] == embedded.commit
    assert refs(repo_path)[layers[0].ref] == embedded.commit
    require_sound(repo_path)


OPT = LayerBlob.of(file("opt/tool", b"1"), file("usr/lib/tool", b"1"))


@pytest.mark.parametrize("order", [("over commit", "ordinary"), ("ordinary", "over commit")])
def test_what_a_base_leaves_out_of_a_layer_is_missing_in_no_other_image(
    repo_path: Path, oci: OciDirectory, commit: Commit, order: Sequence[str]
) -> None:
    layers = commit().layers()
    images = {
        "over commit": oci.add_image([*layers, OPT], tag="over", labels=labels(layers)),
        "ordinary": oci.add_image([BASE, OPT], tag="ordinary"),
    }
    for name in order:
        found = listing(repo_path, pull(repo_path, images[name]))
        assert "usr/lib/tool" in found
        assert ("opt/tool" in found) is (name == "ordinary")
    assert {_record(OPT), _record(OPT, "usr-tree")} <= _ours(repo_path).keys()
    require_sound(repo_path)


def test_a_base_that_leaves_out_other_things_has_its_layers_fetched_again(
    repo_path: Path, oci: OciDirectory, commit: Commit, tmp_path: Path
) -> None:
    narrow = commit().layers(chunks=0)  # of chunks, one might be the same in both
    pull(repo_path, oci.add_image([*narrow, OPT], tag="1", labels=labels(narrow)))
    wide = _again(commit, tmp_path, "[composefs]\nenabled = yes\n").layers(chunks=0)
    story = Recorder()
    image = oci.add_image([*wide, OPT], tag="2", labels=labels(wide))
    assert "opt/tool" in listing(repo_path, pull(repo_path, image, progress=story))
    assert story.notes[0].startswith("layers already present: 1; layers needed: 1 (")
    assert story.notes[-1].startswith("layers already present: 0; layers needed: 2 (")
    assert (story.events[-1].steps, story.events[-1].steps_total) == (2, 2)


def _again(commit: Commit, tmp_path: Path, prepare_root: str) -> Encapsulation:
    """Make a second commit, in a place of its own."""
    for name in ("source", "tree"):
        (tmp_path / name).rename(tmp_path / f"first-{name}")
    return commit(prepare_root)


# -------------------------------------------------------------------- what other programs stored


def _poison(repo_path: Path, layer: LayerBlob) -> str:
    """Have the ref that is shared with other programs name another tree; return its commit."""
    tree = repo_path.parent / "poison"
    (tree / "usr/bin").mkdir(parents=True, exist_ok=True)
    (tree / SUDO).write_text("evil", encoding="utf-8")
    branch = f"--branch=ostree/container/{layer.ref}"
    return ostree(repo_path, "commit", f"--tree=dir={tree}", branch).strip()


def test_a_tree_that_another_program_stored_is_not_believed(
    repo_path: Path, oci: OciDirectory
) -> None:
    for layer in (BASE, GOOD):
        _poison(repo_path, layer)
    story = Recorder()
    merged = pull(repo_path, oci.add_image([BASE, GOOD]), progress=story)
    assert _sudo(repo_path, merged) == "good"
    assert _present(story) == "layers already present: 0; layers needed: 2"
    assert story.notes[1] == (
        "layers that another program or an older version stored unchecked, fetched once more: 2"
    )
    assert refs(repo_path)[GOOD.ref] == _ours(repo_path)[_record(GOOD)]
    require_sound(repo_path)


def test_an_image_that_another_program_merged_is_not_believed(
    repo_path: Path, oci: OciDirectory
) -> None:
    image = oci.add_image([BASE, GOOD])
    merged = pull(repo_path, image, record_as=OS)
    ref = next(ref for ref in refs(repo_path) if ref.startswith("image/"))
    shown = ostree(repo_path, "show", "--print-metadata-key=ostree.manifest-digest", merged)
    tree = repo_path.parent / "poison"
    _poison(repo_path, EVIL)
    ostree(
        repo_path,
        *("commit", f"--tree=dir={tree}", f"--branch=ostree/container/{ref}"),
        f"--add-metadata=ostree.manifest-digest={shown.strip()}",
        "--add-metadata-string=ostree.importer.version=bootcpy 0.2.0",
    )
    assert refs(repo_path)[ref] != merged
    assert pull(repo_path, image, record_as=OS) == merged
    assert refs(repo_path)[ref] == merged


def test_a_repository_of_an_older_version_goes_on_working(
    repo_path: Path, oci: OciDirectory
) -> None:
    image = oci.add_image([BASE, GOOD])
    before = pull(repo_path, image, record_as=OS)
    shared = refs(repo_path)
    _forget(repo_path)
    poison = _poison(repo_path, GOOD)
    story = Recorder()
    assert pull(repo_path, image, record_as=OS, progress=story) == before
    assert _present(story) == "layers already present: 0; layers needed: 2"
    assert refs(repo_path).keys() == shared.keys()
    assert poison not in refs(repo_path).values()

    story = Recorder()
    newer = oci.add_image([BASE, GOOD, OPT], tag="newer")
    assert "opt/tool" in listing(repo_path, pull(repo_path, newer, record_as=OS, progress=story))
    assert _present(story) == "layers already present: 2; layers needed: 1"
    assert len(story.notes) == 1
    gc.collect(open_repo(repo_path), deployed={OS})
    require_sound(repo_path)


def test_what_is_here_unchecked_needs_no_room(repo_path: Path, oci: OciDirectory) -> None:
    pull(repo_path, oci.add_image([BASE]), record_as=OS)
    _forget(repo_path)
    asked: list[Download] = []
    with skopeo.opened(oci.add_image([BASE, GOOD], tag="newer")) as image:
        importer.pull(
            repo_path, image, record_as=OS, progress=Recorder(), before_fetch=asked.append
        )
    expected = Download(
        name=OS.name,
        size_bytes=len(BASE.blob) + len(GOOD.blob),
        unpacked_bytes=3 * len(GOOD.blob),
        replaced_bytes=len(BASE.blob),
    )
    assert asked == [expected]


def test_what_others_know_a_layer_by_is_set_right(repo_path: Path, oci: OciDirectory) -> None:
    image = oci.add_image([BASE, GOOD])
    pull(repo_path, image)
    _poison(repo_path, GOOD)
    pull(repo_path, image, record_as=OS)
    # Only its bytes could tell whether the image or who wrote that ref is right.
    assert GOOD.ref not in refs(repo_path)
    assert refs(repo_path)[BASE.ref] == _ours(repo_path)[_record(BASE)]


def test_a_remote_cannot_vouch(repo_path: Path, oci: OciDirectory) -> None:
    evil = _poison(repo_path, EVIL)
    remote = repo_path / "refs/remotes/bootcpy" / _record(GOOD)
    remote.parent.mkdir(parents=True)
    remote.write_text(f"{evil}\n", encoding="ascii")
    assert _sudo(repo_path, pull(repo_path, oci.add_image([BASE, GOOD]))) == "good"


def test_a_recompressed_layer_is_not_fetched(repo_path: Path, oci: OciDirectory) -> None:
    first = pull(repo_path, oci.add_image([BASE, GOOD]), record_as=OS)
    again = replace(BASE, blob=gzip.compress(gzip.decompress(BASE.blob), 1, mtime=1))
    assert again.digest != BASE.digest
    newer = oci.add_image([again, GOOD], tag="newer")
    oci.blob_path(again.digest).unlink()
    story = Recorder()
    second = pull(repo_path, newer, record_as=OS, progress=story)
    assert story.notes == ["layers already present: 2; layers needed: 0 (0 B)"]
    assert listing(repo_path, second) == listing(repo_path, first)
    gc.collect(open_repo(repo_path), deployed={OS})
    assert {_record(BASE), _record(GOOD)} <= _ours(repo_path).keys()
    require_sound(repo_path)


# ------------------------------------------------------------------ embedded commits, and whole


def _without(members: list[Member], ending: str) -> tuple[list[Member], str]:
    """Return the members without the last of a kind, and which that is."""
    last = [member.header.name for member in members if member.header.name.endswith(ending)][-1]
    return [member for member in members if member.header.name != last], last


@pytest.mark.parametrize(
    ("kind", "named"),
    [("dirtree", "the directory /"), ("dirmeta", "the attributes of /")],
)
def test_an_embedded_commit_that_lacks_a_directory_is_refused(
    repo_path: Path, oci: OciDirectory, commit: Commit, kind: str, named: str
) -> None:
    embedded = commit()
    members, _ = _without(embedded.commit_layer(embedded.files), f".{kind}")
    _require_refused(repo_path, oci, embedded, [LayerBlob.of(*members)], named)


def test_an_embedded_commit_that_lacks_files_is_refused(
    repo_path: Path, oci: OciDirectory, commit: Commit
) -> None:
    embedded = commit()
    held = embedded.files[1:]
    layers = [
        LayerBlob.of(*embedded.commit_layer(held[::2])),
        LayerBlob.of(*embedded.chunk(held[1::2])),
    ]
    _require_refused(repo_path, oci, embedded, layers, "/usr/")


def _require_refused(
    repo_path: Path, oci: OciDirectory, embedded: Encapsulation, layers: list[LayerBlob], named: str
) -> None:
    message = "is incomplete: no layer of the image has"
    hint = "the image was built wrongly; build it again"
    with refused(ImageContentError, message, hint=hint) as no:
        pull(repo_path, oci.add_image(layers, tag="holes", labels=labels(layers)))
    assert embedded.commit in no.value.message
    assert named in no.value.message
    assert layers[0].ref not in refs(repo_path)
    assert not list((repo_path / "state").glob("*.commitpartial"))
    require_sound(repo_path)  # which looks at every commit that is not marked

    whole = embedded.layers()
    merged = pull(repo_path, oci.add_image(whole, labels=labels(whole)))
    assert listing(repo_path, merged) == listing(repo_path, embedded.commit)
    require_sound(repo_path)


def test_an_embedded_commit_that_stays_without_a_chunk_leaves_no_mark(
    repo_path: Path, oci: OciDirectory, commit: Commit
) -> None:
    layers = commit().layers(chunks=1)
    oci.add_image(layers)
    oci.blob_path(layers[1].digest).write_bytes(b"x" * len(layers[1].blob))
    with pytest.raises(ImageContentError):
        pull(repo_path, oci.add_image(layers, labels=labels(layers)))
    assert not list((repo_path / "state").glob("*.commitpartial"))
    require_sound(repo_path)


def test_a_commit_that_was_taken_for_whole_is_no_more(
    repo_path: Path, oci: OciDirectory, commit: Commit
) -> None:
    embedded = commit()
    layers = embedded.layers(chunks=1)
    image = oci.add_image(layers, labels=labels(layers))
    pull(repo_path, image)
    _forget(repo_path)
    holes = [layers[0], LayerBlob.of(*embedded.chunk(embedded.files[1::2][1:]))]
    lost = embedded.files[1]
    (repo_path / f"objects/{lost[:2]}/{lost[2:]}.file").unlink()
    with pytest.raises(ImageContentError, match="is incomplete"):
        pull(repo_path, oci.add_image(holes, tag="holes", labels=labels(holes)))
    assert (repo_path / f"state/{embedded.commit}.commitpartial").exists()
    pull(repo_path, image)
    assert not (repo_path / f"state/{embedded.commit}.commitpartial").exists()
    require_sound(repo_path)


# --------------------------------------------------------------------------------- names, gc


def _named(name: str) -> ImageReference:
    return ImageReference.parse(f"docker://quay.io/example/{name}")


@pytest.mark.parametrize("order", [("os", "os/sub", "os/sub/sub"), ("os/sub/sub", "os/sub", "os")])
def test_the_name_of_an_image_may_begin_with_that_of_another(
    repo_path: Path, oci: OciDirectory, order: Sequence[str]
) -> None:
    names = [_named(name) for name in order]
    layers = {name: LayerBlob.of(file("usr/name", str(name).encode())) for name in names}
    images = {
        name: oci.add_image([BASE, layers[name]], tag=f"t{index}")
        for index, name in enumerate(names)
    }
    commits = {name: pull(repo_path, images[name], record_as=name) for name in names}
    assert export.list_images(open_repo(repo_path)) == tuple(sorted(map(str, names)))
    for name in names:
        oci.blob_path(layers[name].digest).unlink()
        story = Recorder()
        assert pull(repo_path, images[name], record_as=name, progress=story) == commits[name]
        assert story.notes == []
        stored = export.find_stored(open_repo(repo_path), name)
        assert stored.layers[-1] == _ours(repo_path)[_record(layers[name])]
    gc.collect(open_repo(repo_path), deployed=set(names[1:]))
    assert export.list_images(open_repo(repo_path)) == tuple(sorted(map(str, names[1:])))
    gc.collect(open_repo(repo_path), deployed={names[-1]})
    # Nothing is in its way any more.
    last = names[-1]
    newer = oci.add_image([BASE, LayerBlob.of(file("usr/name", b"newer"))], tag="newer")
    commit = pull(repo_path, newer, record_as=last)
    found = {ref: named for ref, named in refs(repo_path).items() if ref.startswith("image/")}
    assert found == {f"image/docker_3A__2F__2F_quay_2E_io/example/{order[-1]}": commit}
    require_sound(repo_path)


def test_what_vouches_goes_with_what_it_vouches_for(repo_path: Path, oci: OciDirectory) -> None:
    pull(repo_path, oci.add_image([BASE, GOOD], tag="a"), record_as=OS)
    pull(repo_path, oci.add_image([BASE, EVIL], tag="b"), record_as=OTHER)
    assert len(_ours(repo_path)) == 5
    pruned = gc.collect(open_repo(repo_path), deployed={OS})
    assert (pruned.images, pruned.layers) == (1, 1)
    left = _ours(repo_path)
    assert {ref for ref in left if ref.startswith("layer/")} == {_record(BASE), _record(GOOD)}
    assert len(left) == 3
    assert not gc.collect(open_repo(repo_path), deployed={OS})
    pruned = gc.collect(open_repo(repo_path), deployed=())
    assert (pruned.images, pruned.layers, _ours(repo_path)) == (1, 2, {})


def test_what_vouches_for_a_deployed_image_stays_without_an_image_ref(
    repo_path: Path, oci: OciDirectory
) -> None:
    merged = pull(repo_path, oci.add_image([BASE, GOOD]), record_as=OS)
    ostree(repo_path, "refs", "--create=ostree/1/1/0", merged)
    ours = _ours(repo_path)
    gc.collect(open_repo(repo_path), deployed=())
    assert _ours(repo_path) == ours


@pytest.mark.parametrize("chunks", [1, 2])
def test_what_vouches_for_embedded_layers_is_kept_by_what_they_are(
    repo_path: Path, oci: OciDirectory, commit: Commit, chunks: int
) -> None:
    layers = commit().layers(chunks=chunks)
    image = oci.add_image([*layers, OPT], labels=labels(layers))
    pull(repo_path, image, record_as=OS)
    ours = _ours(repo_path)
    gc.collect(open_repo(repo_path), deployed={OS})
    assert _ours(repo_path) == ours
    assert {ref for ref in ours if ref.startswith("layer/")} == {
        _record(layers[0], "commit"),
        *(_record(layer, "chunk") for layer in layers[1:]),
        _record(OPT, "usr-tree"),
    }
    pull(repo_path, oci.add_image([BASE, *layers[1:]], tag="trees"), record_as=OTHER)
    gc.collect(open_repo(repo_path), deployed={OS})
    assert _ours(repo_path) == ours
