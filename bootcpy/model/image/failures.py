"""What a registry's or skopeo's answer means for the person who reads it. Pure text work."""

import re
from pathlib import Path

from bootcpy.errors import ImageContentError, ImageError, ImageUnavailableError
from bootcpy.model.base.printable import printable
from bootcpy.model.image.reference import ImageReference, Transport
from bootcpy.paths import ROOT_AUTH_FILES

_AUTH_FILE = ROOT_AUTH_FILES[1]  # the one that an administrator writes
# A registry may answer with a page: what is shown of it, and what is looked at.
_SHOWN_CHARS = 1024
_READ_CHARS = 4096  # of the beginning, and of the end
_TRANSIENT = re.compile(
    r"connection reset|connection refused|i/o timeout|timeout awaiting|TLS handshake timeout|"
    r"unexpected EOF|no route to host|network is unreachable|temporary failure|"
    r"\b(429|500|502|503|504)\b|too many requests|server misbehaving|broken pipe",
    re.IGNORECASE,
)
# (pattern in skopeo's words, what it means, what to do); the first match counts.
_CONFIGURATION_MEANINGS = (
    (
        r"getting username and password",
        "the credentials for {registry} cannot be read: {cause}",
        "correct {auth_file}, or write it with podman login --authfile",
    ),
    (
        r"invalid policy in|open (\S*/policy\.json|{policy_pattern}): ",
        "the policy for images cannot be read: {cause}",
        "write it as containers-policy.json(5) says",
    ),
    (
        r"registries configuration|registries\.conf",
        "the configuration of registries cannot be read: {cause}",
        "correct it as containers-registries.conf(5) says",
    ),
)
_FILE_MEANINGS = (
    (
        r"no space left on device",
        "there is not enough space to read {image}: {cause}",
        "free some space in /var/tmp, where skopeo unpacks archives",
    ),
    (
        # Archives that end before their index does.
        r"container_images_oci\d+/index.json: no such file|\"manifest.json\": file does not exist",
        "{image} is truncated or not an image: {cause}",
        "copy or download it again",
    ),
    (
        r"(stat|open) .*: no such file or directory|archive file not found",
        "there is no image {image}: {cause}",
        "check the path, and whether its disk is mounted",
    ),
)
_MEANINGS = (
    (
        r"rejected by policy|Source image rejected|signature was required",
        "{image} is rejected by {policy}, which demands {requirement}: {cause}",
        "sign the image as that policy demands, or correct the policy",
    ),
    (
        r"unauthorized|authentication required|denied:|is denied|\b401\b|\b403\b",
        "{registry} refuses access to {image}: {cause} ({credentials})",
        "write the credentials (podman login --authfile does it) into {auth_file}",
    ),
    (
        r"invalid reference format|invalid image",
        "{image} is not a valid image name: {cause}",
        "check the name and the tag",
    ),
    (
        r"not supported over overlayfs",
        "podman's storage is not visible in this container: {image}: {cause}",
        "add -v /var/lib/containers:/var/lib/containers to podman run",
    ),
    (
        (
            r"manifest unknown|name unknown|not found|does not exist|no such image|image not known|"
            r"does not resolve to an image|identifier is not an image|unknown to registry|"
            r"reference .* not found|no descriptor found|no such file"
        ),
        "there is no image {image}: {cause}",
        "check the name and the tag",
    ),
    (
        (
            r"no such host|server misbehaving|connection refused|i/o timeout|no route to host|"
            r"network is unreachable|connection reset|TLS handshake timeout"
        ),
        "{registry} cannot be reached: {cause}",
        "check the network and the registry's name, and try again",
    ),
    (
        r"x509|certificate|server gave HTTP response|does not look like a TLS handshake",
        "{registry} is not trusted: {cause}",
        (
            "add its certificate below /etc/containers/certs.d, "
            "or declare it insecure in /etc/containers/registries.conf.d"
        ),
    ),
    (
        r"status: 5\d\d|StatusCode: (429|5\d\d)|too ?many ?requests",
        "{registry} cannot serve {image} now: {cause}",
        "try again later",
    ),
    (
        r"pinging container registry",
        "{registry} does not answer like a registry: {cause}",
        "check the registry's name",
    ),
    (
        r"unexpected EOF|invalid tar|tar header|unexpected end of JSON|invalid character",
        "{image} is truncated or not an image: {cause}",
        "copy or download it again",
    ),
)


def is_transient(cause: str) -> bool:
    """Tell whether trying the same again may succeed."""
    return _TRANSIENT.search(cause) is not None


def _ends(cause: str) -> str:
    """Return the beginning and the end of a long `cause`; patterns take their time over it."""
    return cause if len(cause) <= 2 * _READ_CHARS else cause[:_READ_CHARS] + cause[-_READ_CHARS:]


def registry_host(reference: ImageReference) -> str:
    """Name what serves the image: the registry's host, else the transport."""
    if reference.transport is Transport.REGISTRY:
        return f"registry {reference.repository.partition('/')[0]}"
    return str(reference.transport)


def explain_open_failure(
    cause: str,
    reference: ImageReference,
    *,
    auth_file: Path | None,
    policy_file: Path | None,
    requirement: str | None = None,
) -> ImageUnavailableError:
    """Return the error for skopeo's `cause`, which names the things involved.

    `requirement` is what the policy in `policy_file` demands of the image.
    """
    if auth_file:
        credentials = f"credentials from {auth_file}"
    else:
        credentials = f"no credentials: none of {', '.join(map(str, ROOT_AUTH_FILES))} exists"
    shown = printable(" ".join(cause.split()), limit=_SHOWN_CHARS)
    meanings = _FILE_MEANINGS if reference.transport.is_file else ()
    words = {
        "image": reference,
        "registry": registry_host(reference),
        "policy": policy_file or "policy.json",
        "requirement": requirement or "something else",
        "credentials": credentials,
        "auth_file": auth_file or _AUTH_FILE,
        "cause": shown,
    }
    cause = _ends(cause)
    named = re.escape(str(policy_file))
    for pattern, meaning, hint in (*_CONFIGURATION_MEANINGS, *meanings, *_MEANINGS):
        if re.search(pattern.replace("{policy_pattern}", named), cause, re.IGNORECASE):
            return ImageUnavailableError(meaning.format(**words), hint=hint.format(**words))
    return ImageUnavailableError(
        f"cannot open {reference}: {shown}", hint=f"see what `skopeo inspect {reference}` says"
    )


def explain_blob_failure(cause: str, reference: ImageReference, digest: str) -> ImageError:
    """Return the error for a layer that could not be read: its content, or its source is bad."""
    shown = printable(" ".join(cause.split()), limit=_SHOWN_CHARS)
    if re.search(r"corrupted blob|expected \d+ bytes|digest mismatch|does not match", _ends(cause)):
        return ImageContentError(
            f"layer {digest} of {reference} is not what the manifest says: {shown}",
            hint="the image is corrupt; pull, copy or build it again",
        )
    return ImageUnavailableError(
        f"layer {digest} of {reference} cannot be read from {registry_host(reference)}: {shown}",
        hint="run the command again; complete layers are kept",
    )
