"""Layers made to use up memory, time or patience: what they cost, or in what words they end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bootcpy.errors import ImageContentError
from bootcpy.model.image.reference import ImageReference
from bootcpy.ostree.base.objects import commit_tree
from bootcpy.ostree.base.repo import open_repo
from tests.hostile_layers import SHAPES, layer, member
from tests.layers import bootable_tree, directory, file, hardlink, noise, symlink, tar, whiteout
from tests.system.support.memory import Run, run_and_watch
from tests.system.support.oci_images import LayerBlob, OciDirectory
from tests.system.support.pulls import listing, ostree, pull, refs, require_sound

_IMPORT = """
import sys
from pathlib import Path
from bootcpy.model.image.reference import ImageReference
from tests.system.support.pulls import pull
print(pull(Path(sys.argv[1]), ImageReference.parse(sys.argv[2])))
"""
_MIB = 1 << 20


def _import(repo_path: Path, image: ImageReference) -> Run:
    done = run_and_watch([sys.executable, "-c", _IMPORT, str(repo_path), str(image)])
    print(f"{done.peak_bytes / _MIB:.0f} MiB, {done.wall_s:.1f} s")
    return done


# Most of what is allowed is Python and libostree, in four processes.
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("shape", "count"),
    [
        ("empty files", 300_000),
        ("empty directories", 300_000),
        ("whiteouts", 200_000),
        ("names of 3,500 bytes", 50_000),
        ("hard links", 250_000),
    ],
)
def test_memory_does_not_follow_the_number_of_members(
    repo_path: Path, oci: OciDirectory, shape: str, count: int
) -> None:
    lower = LayerBlob.of(*bootable_tree())
    image = oci.add_image([lower, layer(SHAPES[shape](count))])
    done = _import(repo_path, image)
    assert done.status == 0, done.stderr
    assert done.peak_bytes < 150 * _MIB
    require_sound(repo_path)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_memory_does_not_follow_what_two_layers_have_in_one_directory(
    repo_path: Path, oci: OciDirectory
) -> None:
    both = [
        layer(SHAPES["empty files"](150_000)),
        layer(member(f"usr/share/{n}") for n in range(1, 300_000, 2)),
        LayerBlob.of(whiteout("usr/share/17")),
    ]
    done = _import(repo_path, oci.add_image(both))
    assert done.status == 0, done.stderr
    assert done.peak_bytes < 200 * _MIB  # both are on their way at once
    counted = ostree(repo_path, "ls", "--recursive", "--nul-filenames-only", done.stdout.strip())
    # Of three directories, and the files: the even ones of the first, all the odd ones but one.
    assert counted.count("\0") == 3 + 75_000 + 150_000 - 1


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_many_small_layers_share_children_and_transactions(
    repo_path: Path, oci: OciDirectory
) -> None:
    layers = [LayerBlob.of(file(f"usr/share/{n}", b"%d" % n)) for n in range(300)]
    done = _import(repo_path, oci.add_image(layers))
    assert done.status == 0, done.stderr
    assert len(listing(repo_path, done.stdout.strip())) == 303
    assert refs(repo_path).keys() >= {layer.ref for layer in layers}
    require_sound(repo_path)


# ---------------------------------------------------------------------- the same as libostree


def _tree(place: Path) -> None:
    for path in ("usr/bin", "usr/share/deep/er", "usr/lib", "var/lib", "opt/a-b", "opt/a"):
        (place / path).mkdir(parents=True)
    for number, size in enumerate((0, 0, 1, 300, 2048, 2049, 70_000, 1 << 20, (1 << 20) + 1)):
        name = place / f"usr/share/{number}"
        name.write_bytes(noise(number, size))
        name.chmod(0o4750 if number % 2 else 0o644)
    (place / "usr/bin/alias").symlink_to("tool")
    (place / "usr/bin/tool").hardlink_to(place / "usr/share/6")
    (place / "usr/lib/zuletzt").hardlink_to(place / "usr/share/6")
    (place / "usr/share/Grüße\n").write_text("hello\n", encoding="utf-8")
    for attribute in ("user.z", "user.a", "user.M"):
        for path in ("usr/share/3", "var/lib"):
            os.setxattr(place / path, attribute, attribute.encode())
    subprocess.run(["chown", "-R", "12:34", place / "usr/share/deep"], check=True)
    (place / "opt/a-b/file").touch()
    (place / "opt/a/file").touch()
    (place / "var/lib").chmod(0o1777)


@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_a_layer_is_stored_as_libostree_stores_the_same_tar(
    repo_path: Path, oci: OciDirectory, tmp_path: Path, form: str
) -> None:
    _tree(tmp_path / "tree")
    archive = tmp_path / "layer.tar"
    xattrs = ["--xattrs", "--xattrs-include=user.*"] if form == "posix" else []
    argv = ["tar", f"--format={form}", *xattrs, "--sort=name", "-C", str(tmp_path / "tree")]
    subprocess.run([*argv, "-cf", str(archive), "."], check=True)
    theirs = ostree(
        repo_path, "commit", "--branch=theirs", "--tar-autocreate-parents", f"--tree=tar={archive}"
    ).strip()
    blob = LayerBlob.of_tar(archive.read_bytes())
    pull(repo_path, oci.add_image([blob]))
    repo = open_repo(repo_path)
    assert commit_tree(repo, refs(repo_path)[blob.ref]) == commit_tree(repo, theirs)


# ------------------------------------------------------------------------------ in what words


def test_a_layer_is_named_when_one_of_several_small_ones_is_refused(
    repo_path: Path, oci: OciDirectory
) -> None:
    bad = LayerBlob.of(directory("usr"), file("usr/a", b"1", uid=1 << 32))
    image = oci.add_image([LayerBlob.of(*bootable_tree()), bad, LayerBlob.of(file("usr/c", b"2"))])
    with pytest.raises(ImageContentError) as refused:
        pull(repo_path, image)
    assert refused.value.message == (
        f"layer {bad.digest}: 'usr/a' in the layer belongs to the user 4294967296, "
        "which is not valid"
    )
    assert refused.value.hint
    require_sound(repo_path)


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (
            tar(file("usr/a", b"1", xattrs={"nonsense": "1"})),
            "'usr/a' has an extended attribute that cannot be stored: ",
        ),
        (tar(file("usr/a", b"1", xattrs={"user.a": ""})), "attribute 'user.a' without a value"),
        (tar(file("usr/a", b"1", uid=-1 & 0xFFFFFFFF)), "belongs to the user 4294967295"),
    ],
    ids=["attribute of no kind", "attribute without a value", "the user that is none"],
)
def test_what_fsck_would_find_is_refused(
    repo_path: Path, oci: OciDirectory, archive: bytes, message: str
) -> None:
    bad = LayerBlob.of_tar(archive)
    with pytest.raises(ImageContentError) as refused:
        pull(repo_path, oci.add_image([bad]))
    assert bad.digest in refused.value.message
    assert message in refused.value.message
    assert refused.value.hint
    require_sound(repo_path)


def test_odd_modes_are_sound(repo_path: Path, oci: OciDirectory) -> None:
    odd = [file("usr/a", b"1"), symlink("usr/s", "a"), hardlink("usr/h", "usr/a"), directory("usr")]
    for each in odd:
        each.header.mode = 0o7117777
    commit = pull(repo_path, oci.add_image([LayerBlob.of(*odd)]))
    require_sound(repo_path)
    assert listing(repo_path, commit) == {
        "": "d00755 0 0 0",
        "usr": "d07777 0 0 0",
        "usr/a": "-07777 0 0 1",
        "usr/h": "-07777 0 0 1",
        "usr/s": "l00777 0 0 0 -> a",
    }
