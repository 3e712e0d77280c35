"""Images with an embedded ostree commit: real libostree, real skopeo, hand-made layers."""

import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bootcpy.errors import ImageContentError
from bootcpy.model.image import ImageReference, OstreeRemote, Transport
from bootcpy.ostree.bindings import OSTree
from bootcpy.ostree.repo import open_repo
from tests.layers import Member, bootable_tree, directory, file, hardlink, tar, whiteout
from tests.system.encapsulate import Attributes, Encapsulation, labels, object_path
from tests.system.oci_images import LayerBlob, OciDirectory
from tests.system.pulls import Recorder, content, listing, ostree, pull, refs, require_sound

RECORDED = ImageReference(Transport.REGISTRY, "quay.io/example/os:latest")
RECORDED_REF = "image/docker_3A__2F__2F_quay_2E_io/example/os_3A_latest"
# Every object-set commit has this root: root's, mode 0755, without attributes.
OBJECT_SET_META = "446a0ef11b7cc167f3b603e585c7eeeeb675faa412d5ec73f62988eb0b6c5488"


Commit = Callable[..., Encapsulation]


@pytest.fixture
def commit(tmp_path: Path) -> Commit:
    """Make a commit of a tree with a bit of everything."""

    def make(
        prepare_root: str | None = None, attributes: Attributes = Attributes.INLINE
    ) -> Encapsulation:
        source, tree = tmp_path / "source", tmp_path / "tree"
        for path in ("usr/bin", "usr/etc", "usr/share/docs", "usr/lib/ostree", "sysroot", "var"):
            (tree / path).mkdir(parents=True)
        (tree / "usr/bin/tool").write_bytes(os.urandom(300_000))
        (tree / "usr/bin/tool").chmod(0o4755)
        (tree / "usr/bin/large").write_bytes(os.urandom(3_000_000))
        (tree / "usr/bin/alias").symlink_to("tool")
        (tree / "usr/etc/hosts").write_text("127.0.0.1 localhost\n", encoding="utf-8")
        (tree / "usr/share/docs/leer").touch()
        (tree / "usr/share/docs/Grüße").write_text("hello\n", encoding="utf-8")
        os.setxattr(tree / "usr/share/docs/Grüße", "user.mood", b"\x00\xffgood")
        os.setxattr(tree / "usr/bin/alias", "security.test", b"1", follow_symlinks=False)
        os.chown(tree / "usr/share/docs", 12, 34)
        (tree / "usr/share/docs").chmod(0o2750)
        if prepare_root is not None:
            (tree / "usr/lib/ostree/prepare-root.conf").write_text(prepare_root, encoding="utf-8")
        ostree(source, "init", "--mode=bare")
        checksum = ostree(source, "commit", f"--tree=dir={tree}", "--branch=os").strip()
        return Encapsulation(open_repo(source), checksum, attributes)

    return make


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
    assert _is_partial(repo_path, embedded.commit) or not written.exists()

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
        (lambda members: _without(members, "-link"), "without its extended attributes"),
        (lambda members: _without(members, ".file"), "is missing"),
        (lambda members: [*members, *members[-4:]], "is there twice"),
        (
            lambda members: [*members, file(object_path("0" * 64, "filez"))],
            "is no object: .*filez",
        ),
        (_renamed_commit, "has another checksum"),
        (lambda members: [*members, file(_LINK, bytes(2 << 20))], "has 2097152 bytes"),
        (
            lambda members: [*members, hardlink(_LINK, object_path("2" * 64, "file-xattrs"))],
            "links to nothing",
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
    with pytest.raises(ImageContentError, match="does not belong into it"):
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


# ------------------------------------------------------------------ signatures by a remote


def _gpg(home: Path, *args: str) -> str:
    done = subprocess.run(
        ["gpg", "--homedir", home, "--batch", "--quiet", *args],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GnuPG home with the keys of signer and stranger, each exported to NAME.asc."""
    home = tmp_path_factory.mktemp("gnupg")
    home.chmod(0o700)
    for name in ("signer", "stranger"):
        _gpg(home, "--passphrase", "", "--quick-generate-key", name, "ed25519", "sign")
        _gpg(home, "--armor", "--output", str(home / f"{name}.asc"), "--export", name)
    return home


def _trust(repo_path: Path, key: Path) -> OstreeRemote:
    add = ("remote", "add", f"--gpg-import={key}", "vendor", "https://ostree.example.org")
    ostree(repo_path, *add)
    return OstreeRemote("vendor")


def _sign(embedded: Encapsulation, keys: Path) -> None:
    listed = _gpg(keys, "--with-colons", "--list-keys", "signer")
    fingerprints = [line for line in listed.splitlines() if line.startswith("fpr:")]
    embedded.repo.sign_commit(embedded.commit, fingerprints[0].split(":")[9], str(keys), None)


def test_a_signed_commit_satisfies_its_remote(
    repo_path: Path, oci: OciDirectory, commit: Commit, keys: Path
) -> None:
    embedded = commit()
    _sign(embedded, keys)
    layers = embedded.layers()
    image = oci.add_image(layers, labels=labels(layers))
    merged = pull(repo_path, image, signature=_trust(repo_path, keys / "signer.asc"))
    assert ostree(repo_path, "rev-parse", f"{merged}^").strip() == embedded.commit
    assert "Good signature" in ostree(
        repo_path, "show", "--gpg-verify-remote=vendor", embedded.commit
    )


@pytest.mark.parametrize(
    ("signed", "trusted", "message"),
    [
        (False, "signer", "is not signed"),
        (True, "stranger", "is not signed as the remote vendor demands"),
    ],
    ids=["unsigned", "signed by a stranger"],
)
def test_a_commit_its_remote_does_not_accept_is_refused(
    repo_path: Path,
    oci: OciDirectory,
    commit: Commit,
    keys: Path,
    *,
    signed: bool,
    trusted: str,
    message: str,
) -> None:
    embedded = commit()
    if signed:
        _sign(embedded, keys)
    layers = embedded.layers(chunks=0)
    image = oci.add_image(layers, labels=labels(layers))
    remote = _trust(repo_path, keys / f"{trusted}.asc")
    with pytest.raises(ImageContentError, match=message):
        pull(repo_path, image, signature=remote)
    assert refs(repo_path) == {}
    assert not list((repo_path / "objects").glob("*/*"))
    # What was taken without a question is asked when the question comes.
    pull(repo_path, image)
    with pytest.raises(ImageContentError, match=message):
        pull(repo_path, image, signature=remote)


def test_a_remote_cannot_vouch_for_an_image_without_a_commit(
    repo_path: Path, oci: OciDirectory
) -> None:
    image = oci.add_image([LayerBlob.of(*bootable_tree())])
    with pytest.raises(ImageContentError, match="no embedded ostree commit that the remote vendor"):
        pull(repo_path, image, signature=OstreeRemote("vendor"))


# ---------------------------------------------------------------------------- SELinux

_CONTEXTS = """\
/.*	system_u:object_r:default_t:s0
/usr/bin(/.*)?	system_u:object_r:bin_t:s0
/usr/etc(/.*)?	system_u:object_r:etc_t:s0
"""


def _policy() -> list[Member]:
    top = "usr/etc/selinux"
    return [
        directory("usr"),
        directory("usr/bin"),
        file("usr/bin/added", b"1"),
        directory("usr/etc"),
        directory(top),
        file(f"{top}/config", b"SELINUX=enforcing\nSELINUXTYPE=tiny\n"),
        directory(f"{top}/tiny"),
        directory(f"{top}/tiny/policy"),
        file(f"{top}/tiny/policy/policy.33", b"not read for labelling"),
        directory(f"{top}/tiny/contexts"),
        directory(f"{top}/tiny/contexts/files"),
        file(f"{top}/tiny/contexts/files/file_contexts", _CONTEXTS.encode()),
    ]


def test_files_are_labelled_by_the_policy_of_the_merged_tree(
    repo_path: Path, oci: OciDirectory, commit: Commit
) -> None:
    layers = commit().layers()
    upper = LayerBlob.of(*_policy())
    first = oci.add_image([*layers, upper], labels=labels(layers))
    merged = pull(repo_path, first)
    found = listing(repo_path, merged)
    label = {path: "bin_t" in facts or facts for path, facts in found.items()}
    assert label["usr/bin/tool"] is True
    assert label["usr/bin/added"] is True
    assert "default_t" in found["usr/share/docs/Grüße"]
    assert "user.mood" in found["usr/share/docs/Grüße"]
    require_sound(repo_path)
    # Once more over what is labelled already: every file has one label still.
    more = [*layers, upper, LayerBlob.of(file("usr/bin/more", b"2"))]
    second = oci.add_image(more, tag="next", labels=labels(layers))
    again = listing(repo_path, pull(repo_path, second))
    assert again["usr/bin/tool"] == found["usr/bin/tool"]
    assert again["usr/bin/more"].count("security.selinux") == 1
