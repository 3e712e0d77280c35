"""References and ref names, against the vectors of ostree-ext and round trips."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcpy.errors import ReferenceFormatError
from bootcpy.model.image.reference import (
    ContainerPolicy,
    ImageReference,
    Insecure,
    OstreeRemote,
    Signature,
    SignedImageReference,
    Transport,
    escape_ref,
    unescape_ref,
)
from tests.refusals import refused

_TRANSPORTS = (
    "use one of: registry, oci, oci-archive, docker-archive, docker-daemon, "
    "containers-storage, dir, docker"
)
_WRITE_TRANSPORT = "write it as TRANSPORT:NAME, for example docker://quay.io/example/os:latest"
_BEGINNINGS = (
    "it begins with ostree-unverified-registry:, ostree-unverified-image:, "
    "ostree-image-signed: or ostree-remote-image:REMOTE:"
)
_WITHOUT_THEM = "remove them from the name"

DIGEST = "sha256:" + "ab" * 32

# ------------------------------------------------------------------------------ transports


@pytest.mark.parametrize(
    ("word", "transport"),
    [
        ("registry", Transport.REGISTRY),
        ("registry:", Transport.REGISTRY),
        ("docker", Transport.REGISTRY),
        ("docker://", Transport.REGISTRY),
        ("oci", Transport.OCI),
        ("oci:", Transport.OCI),
        ("oci-archive", Transport.OCI_ARCHIVE),
        ("docker-archive", Transport.DOCKER_ARCHIVE),
        ("docker-daemon:", Transport.DOCKER_DAEMON),
        ("containers-storage:", Transport.CONTAINERS_STORAGE),
        ("dir", Transport.DIR),
    ],
)
def test_transport_parse(word: str, transport: Transport) -> None:
    assert Transport.parse(word) is transport


@pytest.mark.parametrize("word", ["", "ostree", "OCI", "oci-", "http://"])
def test_transport_parse_refuses_other_words(word: str) -> None:
    with refused(ReferenceFormatError, "unknown transport", hint=_TRANSPORTS):
        Transport.parse(word)


# ------------------------------------------------------------------------------ references


@pytest.mark.parametrize(
    ("text", "transport", "name", "written"),
    [
        ("docker://quay.io/a/b:1", Transport.REGISTRY, "quay.io/a/b:1", None),
        ("registry:quay.io/a/b:1", Transport.REGISTRY, "quay.io/a/b:1", "docker://quay.io/a/b:1"),
        ("oci:/some/path:tag", Transport.OCI, "/some/path:tag", None),
        ("oci-archive:/a.tar", Transport.OCI_ARCHIVE, "/a.tar", None),
        ("docker-archive:/a.tar:n:t", Transport.DOCKER_ARCHIVE, "/a.tar:n:t", None),
        ("docker-daemon:a:1", Transport.DOCKER_DAEMON, "a:1", None),
        ("containers-storage:a:1", Transport.CONTAINERS_STORAGE, "a:1", None),
        (f"containers-storage:{DIGEST}", Transport.CONTAINERS_STORAGE, DIGEST, None),
        ("containers-storage:[overlay@/a+/b]x", Transport.CONTAINERS_STORAGE, None, None),
        ("dir:/some/dir", Transport.DIR, "/some/dir", None),
    ],
)
def test_image_reference(
    text: str, transport: Transport, name: str | None, written: str | None
) -> None:
    reference = ImageReference.parse(text)
    assert reference == ImageReference(transport, name or text.partition(":")[2])
    assert str(reference) == (written or text)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("quay.io/a/b", "names no transport", _WRITE_TRANSPORT),
        ("", "names no transport", _WRITE_TRANSPORT),
        ("http:quay.io", "unknown transport 'http'", _TRANSPORTS),
        ("docker:quay.io/a", "lacks //", _WRITE_TRANSPORT),
        ("docker://", "empty name", _WRITE_TRANSPORT),
        ("registry:", "empty name", _WRITE_TRANSPORT),
        ("oci:", "empty name", _WRITE_TRANSPORT),
    ],
)
def test_image_reference_refuses(text: str, message: str, hint: str) -> None:
    with refused(ReferenceFormatError, message, hint=hint):
        ImageReference.parse(text)


@pytest.mark.parametrize(
    ("name", "digest", "pulled"),
    [
        ("quay.io/a:1", None, "quay.io/a:1"),
        (f"quay.io/a@{DIGEST}", DIGEST, f"quay.io/a@{DIGEST}"),
        (f"quay.io/a:1@{DIGEST}", DIGEST, f"quay.io/a@{DIGEST}"),
        (f"localhost:5000/a:1@{DIGEST}", DIGEST, f"localhost:5000/a@{DIGEST}"),
        (f"localhost:5000/a@{DIGEST}", DIGEST, f"localhost:5000/a@{DIGEST}"),
        ("quay.io/a@sha256:12", None, "quay.io/a@sha256:12"),
    ],
)
def test_digest_and_name_to_pull(name: str, digest: str | None, pulled: str) -> None:
    reference = ImageReference(Transport.REGISTRY, name)
    assert reference.digest == digest
    assert reference.for_pull() == ImageReference(Transport.REGISTRY, pulled)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("oci:os:latest", "oci:/mnt/usb/os:latest"),
        ("oci:./os", "oci:/mnt/usb/os"),
        ("oci:/srv/os", "oci:/srv/os"),
        ("oci-archive:os.tar", "oci-archive:/mnt/usb/os.tar"),
        ("docker-archive:os.tar:a:1", "docker-archive:/mnt/usb/os.tar:a:1"),
        ("dir:os", "dir:/mnt/usb/os"),
        ("docker://os", "docker://os"),
        ("containers-storage:os", "containers-storage:os"),
        ("docker-daemon:os:1", "docker-daemon:os:1"),
    ],
)
def test_a_relative_path_is_seen_from_a_directory(text: str, expected: str) -> None:
    assert str(ImageReference.parse(text).seen_from(Path("/mnt/usb"))) == expected


def test_for_pull_leaves_other_transports_alone() -> None:
    reference = ImageReference(Transport.CONTAINERS_STORAGE, f"a:1@{DIGEST}")
    assert reference.for_pull() == reference


def test_with_digest_replaces_an_older_one() -> None:
    other = "sha256:" + "cd" * 32
    pinned = ImageReference.parse("docker://quay.io/a:1").with_digest(DIGEST)
    assert str(pinned) == f"docker://quay.io/a:1@{DIGEST}"
    assert str(pinned.with_digest(other)) == f"docker://quay.io/a:1@{other}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("docker://quay.io/a", "docker://quay.io/a:2"),
        ("docker://quay.io/a:1", "docker://quay.io/a:2"),
        ("docker://localhost:5000/a", "docker://localhost:5000/a:2"),
        (f"docker://localhost:5000/a:1@{DIGEST}", "docker://localhost:5000/a:2"),
        ("oci:/path:1", "oci:/path:2"),
        ("oci:/path", "oci:/path:2"),
    ],
)
def test_with_tag(text: str, expected: str) -> None:
    assert str(ImageReference.parse(text).with_tag("2")) == expected


# ----------------------------------------------------------------------- signed references


@pytest.mark.parametrize(
    ("text", "signature", "image", "written"),
    [
        ("ostree-unverified-registry:quay.io/a:1", Insecure(), "docker://quay.io/a:1", None),
        (
            "ostree-unverified-image:docker://quay.io/a:1",
            Insecure(),
            "docker://quay.io/a:1",
            "ostree-unverified-registry:quay.io/a:1",
        ),
        ("ostree-unverified-image:oci:/a:1", Insecure(), "oci:/a:1", None),
        (
            "ostree-image-signed:registry:quay.io/a",
            ContainerPolicy(),
            "docker://quay.io/a",
            "ostree-image-signed:docker://quay.io/a",
        ),
        ("ostree-image-signed:oci:/a", ContainerPolicy(), "oci:/a", None),
        (
            "ostree-remote-image:fedora:docker://quay.io/a",
            OstreeRemote("fedora"),
            "docker://quay.io/a",
            None,
        ),
        (
            "ostree-remote-registry:fedora:quay.io/a:1",
            OstreeRemote("fedora"),
            "docker://quay.io/a:1",
            "ostree-remote-image:fedora:docker://quay.io/a:1",
        ),
    ],
)
def test_signed_reference(text: str, signature: Signature, image: str, written: str | None) -> None:
    parsed = SignedImageReference.parse(text)
    assert parsed == SignedImageReference(ImageReference.parse(image), signature)
    assert str(parsed) == (written or text)
    assert SignedImageReference.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "'' is not a signature-qualified", _BEGINNINGS),
        ("docker://quay.io/a", "is not a signature-qualified", _BEGINNINGS),
        ("ostree-unverified-registry:", "has an empty name", _WRITE_TRANSPORT),
        ("ostree-unverified-image:quay.io/a", "names no transport", _WRITE_TRANSPORT),
        ("ostree-remote-image:fedora", "names no transport", _WRITE_TRANSPORT),
        ("ostree-image-signed:", "names no transport", _WRITE_TRANSPORT),
        ("ostree-whatever:quay.io/a", "is not a signature-qualified", _BEGINNINGS),
        (
            "ostree-unverified-registry:quay.io/a\nunlocked=hotfix",
            "has control characters",
            _WITHOUT_THEM,
        ),
        ("ostree-unverified-image:oci:/mnt/\x1b[2J", "has control characters", _WITHOUT_THEM),
        ("ostree-unverified-image:oci:/mnt/a\x85b", "has control characters", _WITHOUT_THEM),
        ("ostree-unverified-image:oci:/mnt/\udce9", "or is not UTF-8", _WITHOUT_THEM),
        ("ostree-remote-image:a\nb:docker://quay.io/a", "has control characters", _WITHOUT_THEM),
        ("ostree-remote-registry:a\rb:quay.io/a", "has control characters", _WITHOUT_THEM),
    ],
)
def test_signed_reference_refuses(text: str, message: str, hint: str) -> None:
    with refused(ReferenceFormatError, message, hint=hint):
        SignedImageReference.parse(text)


# ------------------------------------------------------------------------------- ref names


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        (
            "docker://quay.io/fedora/fedora-bootc:42",
            "docker_3A__2F__2F_quay_2E_io/fedora/fedora-bootc_3A_42",
        ),
        ("sha256:2c26", "sha256_3A_2c26"),
        ("oci:/var/tmp/my-dir/", "oci_3A__2F_var/tmp/my-dir_2F_"),
        (
            "containers-storage:localhost/bootc:latest",
            "containers-storage_3A_localhost/bootc_3A_latest",
        ),
        ("foo-/bar", "foo-_2F_bar"),
        ("/foo/bar/foo.oci-archive", "_2F_foo/bar/foo_2E_oci-archive"),
        ("a_b", "a__b"),
        ("é", "_E9_"),
        ("日", "_65E5_"),
        ("a//b", "a/_2F_b"),
        ("\t", "_09_"),
    ],
)
def test_escape_ref(text: str, escaped: str) -> None:
    assert escape_ref(text) == escaped
    assert unescape_ref(escaped) == text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("docker://host/os/sub:1", "docker_3A__2F__2F_host_2F_os_2F_sub_3A_1"),
        ("sha256:2c26", "sha256_3A_2c26"),
        ("a_b/c", "a__b_2F_c"),
    ],
)
def test_escape_ref_of_one_piece(text: str, escaped: str) -> None:
    assert escape_ref(text, slashes=True) == escaped
    assert unescape_ref(escaped) == text


@pytest.mark.parametrize("text", ["", "a\0b"])
def test_escape_ref_refuses(text: str) -> None:
    with refused(
        ReferenceFormatError,
        "cannot name a ref after",
        hint="use a name that is not empty and has no NUL",
    ):
        escape_ref(text)


@pytest.mark.parametrize("text", ["a_", "a_3A", "a_zz_", "a_110000_", "a_FFFFFFFFFF_", "_-1_b"])
def test_unescape_ref_refuses(text: str) -> None:
    with refused(
        ReferenceFormatError,
        r"(malformed|unfinished) escape in ref name",
        hint="delete the ref; it was not written by an importer of images",
    ):
        unescape_ref(text)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_escape_ref_round_trips_into_a_valid_ref_name(text: str) -> None:
    escaped = escape_ref(text)
    assert unescape_ref(escaped) == text
    assert escaped.isascii()
    assert all(escaped.split("/"))  # libostree refuses empty components


@pytest.mark.parametrize(
    ("name", "repository", "tag"),
    [
        ("quay.io/example/os:2", "quay.io/example/os", "2"),
        ("quay.io/example/os", "quay.io/example/os", "latest"),
        (f"quay.io:5000/os:2@sha256:{'1' * 64}", "quay.io:5000/os", "2"),
        ("localhost/os", "localhost/os", "latest"),
        ("example/os:2", "docker.io/example/os", "2"),
        ("debian:trixie", "docker.io/library/debian", "trixie"),
    ],
)
def test_repository_and_tag(name: str, repository: str, tag: str) -> None:
    reference = ImageReference.parse(f"docker://{name}")
    assert (reference.repository, reference.tag) == (repository, tag)
