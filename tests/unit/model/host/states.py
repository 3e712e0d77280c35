"""Deployments and boot states to test with; every argument has an uninteresting default."""

import json
from dataclasses import replace
from typing import Any

from bootcpy.model.host.deployments import BootState, Deployment, ImageRecord
from bootcpy.model.host.origin import Origin
from bootcpy.model.image.reference import SignedImageReference

BOOTED_IMAGE = "ostree-unverified-registry:quay.io/example/os:latest"
DIGEST_1 = "sha256:" + "1" * 64
DIGEST_2 = "sha256:" + "2" * 64
DIGEST_3 = "sha256:" + "3" * 64


def digest_of(name: str) -> str:
    """Return a digest that `name`, a few letters, tells from others."""
    return f"sha256:{name.encode().hex():0>64}"


def record(
    digest: str = DIGEST_1,
    *,
    labels: dict[str, str] | None = None,
    created: str | None = None,
    layers: tuple[tuple[str, int], ...] = (("sha256:" + "a" * 64, 100),),
) -> ImageRecord:
    config: dict[str, Any] = {
        "architecture": "amd64",
        "config": {"Labels": labels or {}},
        "created": created,
    }
    manifest = {
        "config": {"digest": "sha256:" + "c" * 64, "size": 2},
        "layers": [{"digest": digest_, "size": size} for digest_, size in layers],
    }
    return ImageRecord(
        manifest_digest=digest,
        manifest_text=json.dumps(manifest),
        config_text=json.dumps(config),
    )


def origin(image: str | None = BOOTED_IMAGE, **rest: Any) -> Origin:  # noqa: ANN401 - Origin's own
    return Origin(image=None if image is None else SignedImageReference.parse(image), **rest)


def deployment(
    checksum: str = "c0ffee",
    *,
    image: str | None = BOOTED_IMAGE,
    digest: str | None = DIGEST_1,
    **rest: Any,  # noqa: ANN401 - Deployment's own
) -> Deployment:
    facts: dict[str, Any] = {
        "serial": 0,
        "stateroot": "default",
        "index": 0,
        "origin": origin(image),
        "image": None if digest is None else record(digest),
        **rest,
    }
    return Deployment(checksum=checksum, **facts)


def state(*deployments: Deployment, **rest: Any) -> BootState:  # noqa: ANN401 - BootState's own
    return BootState(deployments=deployments, **rest)


# What most tables are made of.
IMAGE = SignedImageReference.parse(BOOTED_IMAGE)
OTHER = SignedImageReference.parse("ostree-unverified-registry:quay.io/example/other:1")
LAYERED = origin(layering=("packages",))
BOOTED = deployment("bb", index=1, booted=True)
STAGED = deployment("aa", index=0, staged=True, digest=DIGEST_2)
HELD = replace(STAGED, finalization_locked=True)
STAGED_SWITCH = replace(STAGED, origin=origin(str(OTHER)))
ROLLBACK = deployment("cc", index=2, digest=DIGEST_3)
QUEUED = replace(ROLLBACK, index=0)
PINNED = deployment("dd", index=3, pinned=True)
FOREIGN = deployment("ee", index=4, stateroot="other")
PLAIN = state(BOOTED)
WITH_STAGED = state(STAGED, BOOTED)
WITH_HELD = state(HELD, BOOTED)
