"""What reads the documents of images, and of those who vouch for them."""

from contextlib import suppress

from bootcpy.model.boot.bootable import require_bootable
from bootcpy.model.host.status import rfc3339_utc
from bootcpy.model.image.oci import (
    ImageConfig,
    Manifest,
    canonical_json,
    classify_layers,
    commit_timestamp,
)
from bootcpy.model.image.policy import Policy, PolicyFormatError
from bootcpy.model.image.reference import ImageReference, Transport
from tools.fuzz.target import Target

_MANIFEST = Manifest.parse(
    '{"config":{"digest":"sha256:' + "0" * 64 + '","size":1},'
    '"layers":[{"digest":"sha256:' + "1" * 64 + '","size":1}]}'
)
_IMAGE = ImageReference(Transport.REGISTRY, "quay.io/example/os:1")


def manifest(content: bytes) -> None:
    """Read a manifest."""
    text = content.decode(errors="replace")
    Manifest.parse(text)
    canonical_json(text)


def configuration(content: bytes) -> None:
    """Read a configuration, and all that is made of it."""
    config = ImageConfig.parse(content.decode(errors="replace"))
    seconds = commit_timestamp(_MANIFEST, config)
    assert seconds is None or 0 <= seconds < 1 << 63  # noqa: S101 - what is fuzzed
    rfc3339_utc(config.created)
    _ = (config.timestamp, config.version)
    classify_layers(_MANIFEST, config)
    require_bootable(config, machine="x86_64", name="image")


def policy(content: bytes) -> None:
    """Read a policy.json, and say what it demands."""
    with suppress(PolicyFormatError):
        str(Policy.parse(content.decode(errors="replace")).governing(_IMAGE))


TARGETS: dict[str, Target] = {
    "manifest": manifest,
    "configuration": configuration,
    "policy": policy,
}
