"""skopeo's words, as versions 1.9 to 1.22 have them, and what the user is told."""

from pathlib import Path

import pytest

from bootcpy.errors import ImageContentError, ImageError, ImageUnavailableError
from bootcpy.model.image.failures import (
    explain_blob_failure,
    explain_open_failure,
    is_transient,
    registry_host,
)
from bootcpy.model.image.reference import ImageReference

REGISTRY = ImageReference.parse("docker://quay.io/example/os:1")
ARCHIVE = ImageReference.parse("oci-archive:/srv/os.tar:x")
STORAGE = ImageReference.parse("containers-storage:localhost/os:1")
PING = 'pinging container registry quay.io: Get "https://quay.io/v2/"'


@pytest.mark.parametrize(
    ("reference", "cause", "message", "hint"),
    [
        (
            REGISTRY,
            "reading manifest 1 in quay.io/example/os: manifest unknown",
            "there is no image docker://quay.io/example/os:1: reading manifest 1",
            "check the name",
        ),
        (
            REGISTRY,
            "reading manifest 1 in quay.io/example/os: name unknown: repository not found",
            "there is no image",
            "check the name",
        ),
        (
            REGISTRY,
            "reading manifest 1 in quay.io/denied/os: manifest unknown",
            "there is no image",
            "check the name",
        ),
        (
            REGISTRY,
            f"{PING}: dial tcp 192.0.2.1:443: connect: connection refused",
            "registry quay.io cannot be reached",
            "check the network",
        ),
        (
            REGISTRY,
            f"{PING}: dial tcp: lookup quay.io on 192.0.2.53:53: no such host",
            "registry quay.io cannot be reached",
            "check the network",
        ),
        (
            ARCHIVE,
            "writing to /var/tmp/container_images_oci1/blobs/sha256/f: no space left on device",
            "there is not enough space to read oci-archive:/srv/os.tar:x: writing",
            "free some space in /var/tmp",
        ),
        (
            REGISTRY,
            f"{PING}: net/http: TLS handshake timeout",
            "registry quay.io cannot be reached",
            "check the network",
        ),
        (
            REGISTRY,
            f"{PING}: tls: failed to verify certificate: x509: unknown authority",
            "registry quay.io is not trusted",
            "certs.d",
        ),
        (
            REGISTRY,
            f"{PING}: http: server gave HTTP response to HTTPS client",
            "registry quay.io is not trusted",
            "registries.conf.d",
        ),
        (
            REGISTRY,
            "reading manifest 1 in quay.io/example/os: unauthorized: access is not authorized",
            "registry quay.io refuses access to docker://quay.io/example/os:1",
            "/etc/ostree/auth.json",
        ),
        (
            REGISTRY,
            "reading manifest 1 in ghcr.io/x: denied: requested access to the resource is denied",
            "refuses access",
            "/etc/ostree/auth.json",
        ),
        (
            REGISTRY,
            "Running image docker://quay.io/example/os:1 is rejected by policy.",
            (
                "example/os:1 is rejected by /etc/containers/policy.json, "
                "which demands reject by default: "
            ),
            "sign the image",
        ),
        (
            REGISTRY,
            "A signature was required, but no signature exists",
            "is rejected by /etc/containers/policy.json",
            "sign the image",
        ),
        (
            REGISTRY,
            "invalid reference format: repository name must be lowercase",
            "docker://quay.io/example/os:1 is not a valid image name",
            "check the name",
        ),
        (
            REGISTRY,
            f"{PING}: received unexpected HTTP status: 503 Service Unavailable",
            "registry quay.io cannot serve docker://quay.io/example/os:1 now",
            "try again later",
        ),
        (
            REGISTRY,
            f'{PING}: StatusCode: 429, "slow down"',
            "registry quay.io cannot serve docker://quay.io/example/os:1 now",
            "try again later",
        ),
        (
            REGISTRY,
            f'{PING}: StatusCode: 404, "<html>"',
            "registry quay.io does not answer like a registry",
            "check the registry's name",
        ),
        (
            REGISTRY,
            'getting username and password: reading JSON file "/x.json": unexpected end of JSON',
            "the credentials for registry quay.io cannot be read",
            "correct /etc/ostree/auth.json",
        ),
        (
            REGISTRY,
            'invalid policy in "/etc/containers/policy.json": unexpected end of JSON input',
            "the policy for images cannot be read",
            "containers-policy.json(5)",
        ),
        (
            ARCHIVE,
            "open /etc/containers/policy.json: no such file or directory",
            "the policy for images cannot be read",
            "containers-policy.json(5)",
        ),
        (
            REGISTRY,
            'loading registries configuration: loading drop-in registries configuration "/x.conf"',
            "the configuration of registries cannot be read",
            "containers-registries.conf(5)",
        ),
        (ARCHIVE, 'no descriptor found for reference "x"', "there is no image", "check the name"),
        (
            ARCHIVE,
            'creating temp directory: archive file not found: "/srv/os.tar"',
            "there is no image oci-archive:/srv/os.tar:x",
            "check the path",
        ),
        (
            ImageReference.parse("oci:/mnt/os:x"),
            'Invalid image name "oci:/mnt/os:x": lstat /mnt/os: no such file or directory',
            "there is no image oci:/mnt/os:x: Invalid image name",
            "check the path, and whether its disk is mounted",
        ),
        (
            ImageReference.parse("dir:/mnt/os"),
            "open /mnt/os/manifest.json: no such file or directory",
            "there is no image dir:/mnt/os",
            "check the path",
        ),
        (
            ARCHIVE,
            'untarring file "/var/tmp/container_images_oci12": unexpected EOF',
            "oci-archive:/srv/os.tar:x is truncated or not an image",
            "copy or download",
        ),
        (
            ARCHIVE,
            "open /var/tmp/container_images_oci12/index.json: no such file or directory",
            "oci-archive:/srv/os.tar:x is truncated or not an image",
            "copy or download",
        ),
        (
            ImageReference.parse("docker-archive:/srv/os.tar"),
            'loading tar component "manifest.json": file does not exist',
            "docker-archive:/srv/os.tar is truncated or not an image",
            "copy or download",
        ),
        (
            STORAGE,
            'reference "[overlay@/storage]localhost/os:1" does not resolve to an image ID',
            "there is no image containers-storage:localhost/os:1",
            "check the name",
        ),
        (
            STORAGE,
            "'overlay' is not supported over overlayfs, a mount_program is required",
            "podman's storage is not visible in this container",
            "-v /var/lib/containers:/var/lib/containers",
        ),
        (
            ImageReference.parse("oci:/srv/os:a b"),
            "Invalid image a b",
            "oci:/srv/os:a b is not a valid image name",
            "check the name",
        ),
        (
            REGISTRY,
            "something\nnew  happened",
            "cannot open docker://quay.io/example/os:1",
            "`skopeo inspect docker://quay.io/example/os:1`",
        ),
    ],
)
def test_explain_open_failure(
    reference: ImageReference, cause: str, message: str, hint: str
) -> None:
    error = explain_open_failure(
        cause,
        reference,
        auth_file=None,
        policy_file=Path("/etc/containers/policy.json"),
        requirement="reject by default",
    )
    assert message in error.message
    assert " ".join(cause.split()) in error.message
    assert "\n" not in error.message
    assert hint in (error.hint or "")


@pytest.mark.parametrize(
    ("auth_file", "told", "advice"),
    [
        (
            Path("/run/ostree/auth.json"),
            "credentials from /run/ostree/auth.json",
            "into /run/ostree/auth.json",
        ),
        (
            None,
            "no credentials: none of /run/ostree/auth.json, /etc/ostree/auth.json",
            "into /etc/ostree/auth.json",
        ),
    ],
)
def test_explain_open_failure_says_which_credentials_were_refused(
    auth_file: Path | None, told: str, advice: str
) -> None:
    error = explain_open_failure("unauthorized: x", REGISTRY, auth_file=auth_file, policy_file=None)
    assert told in error.message
    assert (error.hint or "").endswith(advice)


def test_explain_open_failure_knows_the_policy_by_any_name() -> None:
    error = explain_open_failure(
        "open /srv/my policy (1): no such file or directory",
        REGISTRY,
        auth_file=None,
        policy_file=Path("/srv/my policy (1)"),
    )
    assert error.message.startswith("the policy for images cannot be read: open /srv/my policy (1)")


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        ("expected 95 bytes in blob, got 94", ImageContentError),
        ("corrupted blob, expecting sha256:1, got sha256:2", ImageContentError),
        ("open /srv/blobs/sha256/12: no such file or directory", ImageUnavailableError),
        ("reading blob sha256:1: connection reset by peer", ImageUnavailableError),
    ],
)
def test_explain_blob_failure(cause: str, kind: type[ImageError]) -> None:
    error = explain_blob_failure(cause, REGISTRY, "sha256:12")
    assert type(error) is kind
    assert error.message.startswith("layer sha256:12 of docker://quay.io/example/os:1 ")
    assert error.message.endswith(cause)
    assert error.hint


@pytest.mark.parametrize(
    ("cause", "transient"),
    [
        ("connection reset by peer", True),
        ("net/http: TLS handshake timeout", True),
        ("received unexpected HTTP status: 503 Service Unavailable", True),
        ("toomanyrequests: too many requests", True),
        ("unexpected EOF", True),
        ("manifest unknown", False),
        ("unauthorized: access denied", False),
        ("no such host", False),
        ("corrupted blob, expecting sha256:5035", False),
    ],
)
def test_is_transient(cause: str, *, transient: bool) -> None:
    assert is_transient(cause) is transient


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("docker://quay.io/a/b:1", "registry quay.io"),
        ("docker://127.0.0.1:5000/a", "registry 127.0.0.1:5000"),
        ("docker://localhost/a", "registry localhost"),
        ("docker://debian:trixie", "registry docker.io"),
        ("docker://example/os", "registry docker.io"),
        ("oci:/a", "oci"),
        ("containers-storage:a", "containers-storage"),
    ],
)
def test_registry_host(text: str, host: str) -> None:
    assert registry_host(ImageReference.parse(text)) == host


def test_an_answer_is_printable_short_and_soon_understood() -> None:
    page = "StatusCode: 404, \x1b[2J\n\u202e<html>" + 20_000 * "open " + "no such host"
    error = explain_open_failure(page, REGISTRY, auth_file=None, policy_file=None)
    beginning = (
        "registry quay.io cannot be reached: StatusCode: 404, \\x1b[2J \\u202e<html>open open"
    )
    assert error.message.startswith(beginning)
    assert len(error.message) < 1100
    assert (error.hint or "").startswith("check the network")
    message = explain_blob_failure(page, REGISTRY, "sha256:5035").message
    assert message.isprintable()
    assert len(message) < 1200
