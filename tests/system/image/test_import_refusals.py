"""Sources and images that cannot be imported: what is said, and that nothing is left of them."""

import json
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bootcpy.errors import BootcpyError, ImageContentError, ImageUnavailableError
from bootcpy.model.image.reference import ContainerPolicy, ImageReference, Insecure, Signature
from tests.layers import (
    Member,
    bootable_tree,
    compressed,
    device,
    directory,
    file,
    hardlink,
    noise,
    sha256,
    symlink,
    tar,
)
from tests.system.support.marks import MAY_MOUNT
from tests.system.support.oci_images import LayerBlob, OciDirectory
from tests.system.support.pulls import pull, refs, require_sound
from tools.qemu import free_port
from tools.registry import Registry

GOOD = LayerBlob.of(*bootable_tree())
POLICY = Path("/etc/containers/policy.json")
ZEROS = "sha256:" + "0" * 64


def _refused(
    repo_path: Path,
    image: ImageReference,
    kind: type[BootcpyError],
    *parts: str,
    signature: Signature = Insecure(),
    left: Sequence[LayerBlob] = (),
) -> BootcpyError:
    """Have an import refused; `parts` are in its message, refs of nothing but `left` may stay."""
    with pytest.raises(kind) as refused:
        pull(repo_path, image, signature=signature)
    error = refused.value
    assert type(error) is kind
    assert "\n" not in error.message
    for part in parts:
        assert part in error.message
    assert error.hint
    assert refs(repo_path).keys() <= {layer.ref for layer in left}
    require_sound(repo_path)
    return error


# ------------------------------------------------------------------------- bad content


@pytest.mark.parametrize(
    ("members", "part"),
    [
        ([file("../etc/passwd", b"x")], "leaves the tree: '../etc/passwd'"),
        ([device("usr/null")], "'usr/null' (a character device)"),
        ([device("usr/pipe", tarfile.FIFOTYPE)], "'usr/pipe' (a FIFO)"),
        ([hardlink("usr/passwd", "/etc/passwd")], "'usr/passwd' points to 'usr/etc/passwd'"),
        ([hardlink("usr/x", "../../x")], "leaves the tree: '../../x'"),
        ([symlink("usr/a", "/etc"), file("usr/a/passwd", b"x")], "'usr/a' is a directory and"),
        ([file("usr/.wh.", b"")], "whiteout without a name in '/usr'"),
    ],
    ids=[
        "dot dot",
        "device",
        "FIFO",
        "absolute hard link",
        "hard link out of the tree",
        "through a symbolic link",
        "whiteout without a name",
    ],
)
@pytest.mark.parametrize("alone", [True, False], ids=["only layer", "second layer"])
def test_hostile_members(
    repo_path: Path, oci: OciDirectory, members: list[Member], part: str, *, alone: bool
) -> None:
    bad = LayerBlob.of(directory("usr"), *members)
    image = oci.add_image([bad] if alone else [GOOD, bad])
    # A nameless whiteout is only found when the layers are united; the layer itself is whole.
    whole = [GOOD, bad] if "whiteout" in part else [GOOD]
    error = _refused(repo_path, image, ImageContentError, part, left=whole)
    if "whiteout" not in part:
        assert bad.digest in error.message


def test_a_blob_that_is_not_what_its_digest_says(repo_path: Path, oci: OciDirectory) -> None:
    bad = LayerBlob(GOOD.blob, GOOD.diff_id, claimed=ZEROS)
    _refused(repo_path, oci.add_image([bad]), ImageContentError, ZEROS, "not what the manifest")


@pytest.mark.parametrize("alone", [True, False], ids=["only layer", "second layer"])
def test_a_layer_that_is_not_what_its_diff_id_says(
    repo_path: Path, oci: OciDirectory, *, alone: bool
) -> None:
    other = LayerBlob.of(file("usr/a", b"1"))
    bad = LayerBlob(other.blob, ZEROS)
    image = oci.add_image([bad] if alone else [GOOD, bad])
    parts = (bad.digest, other.diff_id, ZEROS)
    _refused(repo_path, image, ImageContentError, *parts, left=[GOOD])


@pytest.mark.parametrize(
    "archive",
    [
        b"not a tar" * 300,
        tar(file("usr/a", noise(1, 9000)))[:5000],
        tar(file("u"))[:512] + b"x" * 99,
    ],
    ids=["text", "truncated", "garbage"],
)
def test_layers_that_are_no_tar(repo_path: Path, oci: OciDirectory, archive: bytes) -> None:
    bad = LayerBlob.of_tar(archive)
    _refused(repo_path, oci.add_image([bad]), ImageContentError, bad.digest)


@pytest.mark.parametrize("broken", ["truncated", "garbled"])
def test_layers_that_cannot_be_decompressed(
    repo_path: Path, oci: OciDirectory, broken: str
) -> None:
    archive = tar(file("usr/a", noise(1, 200_000)))
    blob = compressed(archive)
    half = blob[: len(blob) // 2]
    bad = LayerBlob(half if broken == "truncated" else half + bytes(500) + half, sha256(archive))
    _refused(repo_path, oci.add_image([bad]), ImageContentError, bad.digest)


def test_a_blob_shorter_than_the_manifest_says(repo_path: Path, oci: OciDirectory) -> None:
    image = oci.add_image([GOOD])
    path = oci.blob_path(GOOD.digest)
    path.write_bytes(path.read_bytes()[:-50])
    _refused(repo_path, image, ImageContentError, GOOD.digest)


def test_a_blob_that_is_missing(repo_path: Path, oci: OciDirectory) -> None:
    image = oci.add_image([GOOD])
    oci.blob_path(GOOD.digest).unlink()
    _refused(repo_path, image, ImageUnavailableError, GOOD.digest, str(oci.path))


def test_documents_that_disagree(repo_path: Path, oci: OciDirectory) -> None:
    image = oci.add_image([GOOD], labels={"ostree.final-diffid": ZEROS})
    _refused_documents(repo_path, image, "ostree.final-diffid names no layer")


def _refused_documents(repo_path: Path, image: ImageReference, part: str) -> None:
    with pytest.raises(ImageContentError, match=part):
        pull(repo_path, image)
    assert refs(repo_path) == {}


# ------------------------------------------------------------------------- bad sources


def test_a_missing_tag(repo_path: Path, oci: OciDirectory) -> None:
    oci.add_image([GOOD])
    image = ImageReference.parse(f"oci:{oci.path}:other")
    _refused(repo_path, image, ImageUnavailableError, "there is no image", str(image))


@pytest.mark.parametrize("transport", ["oci", "oci-archive", "docker-archive", "dir"])
def test_a_missing_file(repo_path: Path, tmp_path: Path, transport: str) -> None:
    image = ImageReference.parse(f"{transport}:{tmp_path}/none")
    _refused(repo_path, image, ImageUnavailableError, "there is no image", str(image))


@pytest.mark.parametrize("transport", ["oci-archive", "docker-archive"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_a_truncated_archive(
    repo_path: Path, oci: OciDirectory, tmp_path: Path, transport: str, keep: float
) -> None:
    layer = LayerBlob.of(*bootable_tree(), file("usr/share/noise", noise(5, 300_000)))
    target = f"{transport}:{tmp_path}/image.tar:example/os:1"
    source = str(oci.add_image([layer]))
    subprocess.run(["skopeo", "copy", "--quiet", source, target], check=True)
    archive = tmp_path / "image.tar"
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * keep)])
    with pytest.raises((ImageUnavailableError, ImageContentError)) as refused:
        pull(repo_path, ImageReference.parse(target))
    assert str(archive) in refused.value.message
    assert refused.value.hint
    assert refs(repo_path) == {}


def test_an_unreachable_registry(repo_path: Path) -> None:
    host = f"127.0.0.1:{free_port()}"
    image = ImageReference.parse(f"docker://{host}/example/os:1")
    _refused(repo_path, image, ImageUnavailableError, f"registry {host} cannot be reached")


def test_an_unknown_host(repo_path: Path) -> None:
    image = ImageReference.parse("docker://registry.invalid/example/os:1")
    _refused(repo_path, image, ImageUnavailableError, "registry registry.invalid")


def test_a_tag_the_registry_does_not_have(repo_path: Path, registry: Registry) -> None:
    image = ImageReference.parse(f"docker://{registry.here('example/os')}:1")
    _refused(repo_path, image, ImageUnavailableError, "there is no image", str(image))


def test_an_image_that_podman_does_not_have(repo_path: Path) -> None:
    image = ImageReference.parse("containers-storage:localhost/bootcpy-never-built:1")
    _refused(repo_path, image, ImageUnavailableError, "there is no image", str(image))


# ---------------------------------------------------------------------------- policies


@pytest.fixture
def policy() -> Iterator[Path]:
    """The policy.json that skopeo obeys, to be written by the test."""
    if not MAY_MOUNT:
        pytest.skip("changes policy.json: runs as root in a container of the image")
    before = POLICY.read_bytes() if POLICY.exists() else None
    POLICY.parent.mkdir(parents=True, exist_ok=True)
    yield POLICY
    if before is None:
        POLICY.unlink(missing_ok=True)
    else:
        POLICY.write_bytes(before)


def _write(policy: Path, default: str, **transports: str) -> None:
    rules = {name: {"": [{"type": kind}]} for name, kind in transports.items()}
    document = {"default": [{"type": default}], "transports": rules}
    policy.write_text(json.dumps(document), encoding="utf-8")


@pytest.mark.parametrize("signature", [Insecure(), ContainerPolicy()], ids=["any", "policy"])
def test_a_policy_that_rejects(
    repo_path: Path, oci: OciDirectory, policy: Path, signature: Signature
) -> None:
    _write(policy, "reject")
    image = oci.add_image([GOOD])
    parts = (str(image), f"is rejected by {policy}, which demands ")
    _refused(repo_path, image, ImageUnavailableError, *parts, signature=signature)


def test_a_policy_that_demands_nothing_of_an_image_that_must_be_signed(
    repo_path: Path, oci: OciDirectory, policy: Path
) -> None:
    _write(policy, "insecureAcceptAnything")
    image = oci.add_image([GOOD])
    parts = (str(policy), "insecureAcceptAnything")
    _refused(repo_path, image, ImageUnavailableError, *parts, signature=ContainerPolicy())


def test_a_policy_that_is_missing(repo_path: Path, oci: OciDirectory, policy: Path) -> None:
    policy.unlink(missing_ok=True)
    if Path("/usr/share/containers/policy.json").exists():
        pytest.skip("this system has a second policy.json")
    image = oci.add_image([GOOD])
    parts = ("policy.json", str(image))
    _refused(repo_path, image, ImageUnavailableError, *parts, signature=ContainerPolicy())


def test_a_policy_that_names_the_source_is_obeyed(
    repo_path: Path, oci: OciDirectory, policy: Path
) -> None:
    _write(policy, "reject", oci="insecureAcceptAnything")
    image = oci.add_image([GOOD])
    parts = (str(policy), str(image), "insecureAcceptAnything for oci")
    _refused(repo_path, image, ImageUnavailableError, *parts, signature=ContainerPolicy())
    assert pull(repo_path, image)


def test_a_policy_named_in_the_environment_is_the_one_that_counts(
    repo_path: Path,
    oci: OciDirectory,
    policy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _write(policy, "insecureAcceptAnything")
    named = tmp_path / "strict.json"
    _write(named, "reject")
    monkeypatch.setenv("CONTAINERS_POLICY_JSON", str(named))
    image = oci.add_image([GOOD])
    parts = (str(image), f"is rejected by {named}, which demands ")
    _refused(repo_path, image, ImageUnavailableError, *parts, signature=ContainerPolicy())
