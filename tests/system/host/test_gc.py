"""Garbage collection in a real repository."""

from pathlib import Path

import pytest

from bootcpy.model.host.garbage import Pruned
from bootcpy.model.host.origin import render_origin
from bootcpy.model.image.reference import ImageReference, SignedImageReference
from bootcpy.ostree.base.repo import list_refs, open_repo
from bootcpy.ostree.host import gc
from tests.layers import bootable_tree, directory, file
from tests.system.support.booted_host import BootedHost
from tests.system.support.oci_images import LayerBlob, OciDirectory
from tests.system.support.pulls import ostree, pull, refs, require_sound

A = ImageReference.parse("docker://quay.io/example/a:1")
B = ImageReference.parse("docker://quay.io/example/b:1")
REF_A = "image/docker_3A__2F__2F_quay_2E_io/example/a_3A_1"
REF_B = "image/docker_3A__2F__2F_quay_2E_io/example/b_3A_1"
SHARED = LayerBlob.of(*bootable_tree())
ONLY_A = LayerBlob.of(file("usr/share/a", b"a" * 1000))
ONLY_B = LayerBlob.of(file("usr/share/b", b"b" * 5000))


def _import_both(repo_path: Path, tmp_path: Path) -> tuple[str, str]:
    oci = OciDirectory(tmp_path / "oci")
    a = oci.add_image([SHARED, ONLY_A], tag="a")
    b = oci.add_image([SHARED, ONLY_B], tag="b")
    return pull(repo_path, a, record_as=A), pull(repo_path, b, record_as=B)


def test_an_image_nobody_follows_goes_with_its_own_layer(repo_path: Path, tmp_path: Path) -> None:
    kept, _ = _import_both(repo_path, tmp_path)
    pruned = gc.collect(open_repo(repo_path), deployed={A})
    assert (pruned.images, pruned.layers) == (1, 1)
    assert pruned.object_bytes >= 5000
    assert refs(repo_path).keys() == {REF_A, SHARED.ref, ONLY_A.ref}
    assert ostree(repo_path, "cat", kept, "/usr/share/a") == "a" * 1000
    require_sound(repo_path)
    assert gc.collect(open_repo(repo_path), deployed={A}) == Pruned(
        images=0, layers=0, object_bytes=0
    )


def test_layers_of_a_deployed_commit_stay_without_an_image_ref(
    repo_path: Path, tmp_path: Path
) -> None:
    _, merged = _import_both(repo_path, tmp_path)
    ostree(repo_path, "refs", "--create=ostree/1/1/0", merged)
    pruned = gc.collect(open_repo(repo_path), deployed={A})
    assert (pruned.images, pruned.layers) == (1, 0)
    assert refs(repo_path).keys() == {REF_A, SHARED.ref, ONLY_A.ref, ONLY_B.ref}


@pytest.mark.parametrize("root", ["ostree/0/1/0", "rpmostree/base/0", "base"])
def test_other_roots_hold_layers_as_well(repo_path: Path, tmp_path: Path, root: str) -> None:
    _, merged = _import_both(repo_path, tmp_path)
    ref = "ostree/container/baseimage/other/1" if root == "base" else root
    ostree(repo_path, "refs", f"--create={ref}", merged)
    gc.collect(open_repo(repo_path), deployed=())
    assert {SHARED.ref, ONLY_B.ref} <= refs(repo_path).keys()
    assert ONLY_A.ref not in refs(repo_path)
    require_sound(repo_path)


def test_an_image_ref_of_somebody_else_is_left_alone(
    repo_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept, _ = _import_both(repo_path, tmp_path)
    ostree(repo_path, "refs", "--create=ostree/container/image/mine", kept)
    gc.collect(open_repo(repo_path), deployed=())
    assert refs(repo_path).keys() == {"image/mine", SHARED.ref, ONLY_A.ref}
    assert "ostree/container/image/mine does not have the name of an image" in caplog.text


def test_refs_that_are_not_about_containers_are_not_touched(
    repo_path: Path, tmp_path: Path
) -> None:
    kept, _ = _import_both(repo_path, tmp_path)
    ostree(repo_path, "refs", "--create=vendor/os", kept)
    gc.collect(open_repo(repo_path), deployed=())
    assert list_refs(open_repo(repo_path), "vendor") == {"vendor/os": kept}
    require_sound(repo_path)


def test_what_the_deployments_of_a_host_follow_is_kept(repo_path: Path, tmp_path: Path) -> None:
    host = BootedHost.make(tmp_path)
    repo = host.root / "ostree/repo"
    kernel = "usr/lib/modules/6.12.0-test"
    boot = [directory("boot"), directory("sysroot"), directory("ostree")]
    files = [file(f"{kernel}/vmlinuz", b"k"), file(f"{kernel}/initramfs.img", b"i")]
    release = file("usr/lib/os-release", b"ID=test\n")
    bottom = LayerBlob.of(*bootable_tree(), *boot, *files, release)
    oci = OciDirectory(tmp_path / "oci")
    deployed = pull(repo, oci.add_image([bottom, ONLY_A], tag="a"), record_as=A)
    pull(repo, oci.add_image([bottom, ONLY_B], tag="b"), record_as=B)
    host.deploy(deployed, render_origin(SignedImageReference(A)))
    pruned = gc.collect_unused(host.sysroot())
    assert (pruned.images, pruned.layers) == (1, 1)
    assert refs(repo).keys() == {REF_A, bottom.ref, ONLY_A.ref}
    assert REF_B not in refs(repo)
    require_sound(repo_path)
