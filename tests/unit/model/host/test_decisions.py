from dataclasses import replace

import pytest

from bootcpy.errors import DeploymentError
from bootcpy.model.host.decisions import (
    Adjust,
    Decision,
    Keep,
    SetLock,
    Stage,
    decide_known,
    decide_release,
    decide_restage,
    decide_upgrade,
    display,
    is_update,
    tracked_image,
)
from bootcpy.model.host.deployments import BootState, Deployment, ImageCommit, ImageRecord
from bootcpy.model.host.options import SoftReboot, UpgradeOptions
from bootcpy.model.image.reference import SignedImageReference
from tests.refusals import refused
from tests.unit.model.host.states import (
    BOOTED,
    BOOTED_IMAGE,
    DIGEST_1,
    DIGEST_2,
    DIGEST_3,
    HELD,
    IMAGE,
    LAYERED,
    OTHER,
    PLAIN,
    QUEUED,
    ROLLBACK,
    STAGED,
    STAGED_SWITCH,
    WITH_HELD,
    WITH_STAGED,
    deployment,
    origin,
    state,
)

_SWITCH = "choose the image to follow with `bootc switch IMAGE`"

_APPLIED = "Staged deployment will now be applied on reboot"


@pytest.mark.parametrize(
    ("before", "digest", "options", "expected"),
    [
        pytest.param(
            PLAIN,
            DIGEST_1,
            UpgradeOptions(apply=True, soft_reboot=SoftReboot.AUTO),
            Adjust(Keep(), messages=("No update available.",)),
            id="booted already: --apply does not reboot",
        ),
        pytest.param(PLAIN, DIGEST_2, UpgradeOptions(), Stage(IMAGE), id="an update"),
        pytest.param(
            PLAIN,
            DIGEST_2,
            UpgradeOptions(apply=True, soft_reboot=SoftReboot.REQUIRED),
            Stage(IMAGE, reboot=True, soft_reboot=SoftReboot.REQUIRED),
            id="an update to apply",
        ),
        pytest.param(
            PLAIN,
            DIGEST_2,
            UpgradeOptions(download_only=True, soft_reboot=SoftReboot.AUTO),
            Stage(IMAGE, locked=True),
            id="an update to hold back",
        ),
        pytest.param(
            WITH_STAGED,
            DIGEST_2,
            UpgradeOptions(),
            Adjust(Keep(), messages=("Staged update present, not changed",)),
            id="staged already",
        ),
        pytest.param(
            WITH_STAGED,
            DIGEST_2,
            UpgradeOptions(apply=True),
            Adjust(Keep(), messages=("Staged update present, not changed",), reboot=True),
            id="staged already: --apply still reboots",
        ),
        pytest.param(
            WITH_STAGED,
            DIGEST_2,
            UpgradeOptions(download_only=True, soft_reboot=SoftReboot.AUTO),
            Adjust(
                SetLock(locked=True),
                messages=("Image downloaded, but will not be applied on reboot",),
            ),
            id="staged already, to be held back",
        ),
        pytest.param(
            WITH_HELD,
            DIGEST_2,
            UpgradeOptions(download_only=True, soft_reboot=SoftReboot.AUTO),
            Adjust(Keep(), messages=("Image downloaded, but will not be applied on reboot",)),
            id="held back already",
        ),
        pytest.param(
            WITH_HELD,
            DIGEST_2,
            UpgradeOptions(apply=True),
            Adjust(SetLock(locked=False), messages=(_APPLIED,), reboot=True),
            id="held back: released and applied",
        ),
        pytest.param(
            WITH_HELD,
            DIGEST_3,
            UpgradeOptions(),
            Stage(IMAGE),
            id="held back, but there is a newer one",
        ),
        pytest.param(
            WITH_STAGED,
            DIGEST_1,
            UpgradeOptions(),
            Adjust(
                Keep(),
                messages=(
                    "No update available.",
                    f"Note: image quay.io/example/os:latest ({DIGEST_2}) remains staged.",
                ),
            ),
            id="the registry went back to what is booted",
        ),
        pytest.param(
            state(QUEUED, BOOTED),
            DIGEST_1,
            UpgradeOptions(),
            Adjust(Keep(), messages=("No update available.",)),
            id="nothing new with a rollback queued",
        ),
        pytest.param(
            state(BOOTED, ROLLBACK),
            DIGEST_3,
            UpgradeOptions(),
            Stage(IMAGE),
            id="the rollback's image again",
        ),
        pytest.param(
            state(replace(BOOTED, image=None)),
            DIGEST_1,
            UpgradeOptions(),
            Stage(IMAGE),
            id="an origin set by hand on a plain ostree deployment",
        ),
    ],
)
def test_decide_upgrade(
    before: BootState, digest: str, options: UpgradeOptions, expected: Decision
) -> None:
    assert decide_upgrade(before, IMAGE, digest, options) == expected


@pytest.mark.parametrize(
    ("staged", "options", "expected"),
    [
        (HELD, UpgradeOptions(), Adjust(SetLock(locked=False), messages=(_APPLIED,))),
        (
            HELD,
            UpgradeOptions(apply=True, soft_reboot=SoftReboot.AUTO),
            Adjust(
                SetLock(locked=False),
                messages=(_APPLIED,),
                reboot=True,
                soft_reboot=SoftReboot.AUTO,
            ),
        ),
        (
            STAGED,
            UpgradeOptions(apply=True),
            Adjust(
                Keep(),
                messages=("Staged deployment is already set to apply on reboot",),
                reboot=True,
            ),
        ),
    ],
)
def test_decide_release(staged: Deployment, options: UpgradeOptions, expected: Adjust) -> None:
    assert decide_release(staged, options) == expected


def _stored(digest: str) -> ImageCommit:
    record = ImageRecord(manifest_digest=digest, manifest_text="{}", config_text="{}")
    return ImageCommit(commit="c0ffee", record=record)


@pytest.mark.parametrize("stored", [None, _stored(DIGEST_1), _stored(DIGEST_2)])
def test_decide_restage_needs_what_is_not_deployed(stored: ImageCommit | None) -> None:
    rolled_back = state(deployment(booted=True), deployment("f00d", index=1, digest=DIGEST_2))
    with refused(
        DeploymentError,
        r"^No staged deployment found$",
        hint="download one with `bootc upgrade --download-only`",
    ):
        decide_restage(rolled_back, IMAGE, stored, UpgradeOptions())


def test_decide_restage_stages_again_what_a_reboot_discarded() -> None:
    options = UpgradeOptions(apply=True, soft_reboot=SoftReboot.AUTO)
    stored = _stored(DIGEST_2)
    assert decide_restage(PLAIN, IMAGE, stored, options) == (
        Stage(IMAGE, reboot=True, soft_reboot=SoftReboot.AUTO),
        stored,
    )


@pytest.mark.parametrize(
    ("before", "tag", "expected"),
    [
        (PLAIN, None, "ostree-unverified-registry:quay.io/example/os:latest"),
        (state(STAGED_SWITCH, BOOTED), None, str(OTHER)),
        (PLAIN, "2", "ostree-unverified-registry:quay.io/example/os:2"),
        (
            state(
                deployment(booted=True, image=f"ostree-image-signed:docker://h:5/x:1@{DIGEST_1}")
            ),
            "2",
            "ostree-image-signed:docker://h:5/x:2",
        ),
    ],
)
def test_tracked_image(before: BootState, tag: str | None, expected: str) -> None:
    assert str(tracked_image(before, tag)) == expected


@pytest.mark.parametrize(
    ("before", "tag", "message", "hint"),
    [
        (
            state(replace(BOOTED, origin=LAYERED)),
            "2",
            (
                "Deployment contains local rpm-ostree modifications; cannot upgrade via bootc. "
                "You can run `rpm-ostree reset` to undo the modifications."
            ),
            "`bootc switch IMAGE` stages an image without these modifications",
        ),
        (state(replace(BOOTED, origin=origin(None))), None, "No image source specified", _SWITCH),
        (
            state(replace(BOOTED, origin=origin(None))),
            "2",
            "--tag requires a booted image with a specified source",
            _SWITCH,
        ),
        (BootState(), None, "No image source specified", _SWITCH),
    ],
)
def test_tracked_image_refuses(before: BootState, tag: str | None, message: str, hint: str) -> None:
    with refused(DeploymentError, hint=hint) as caught:
        tracked_image(before, tag)
    assert caught.value.message == message


@pytest.mark.parametrize("digest", [DIGEST_1, DIGEST_2, DIGEST_3])
def test_decide_known_is_decide_upgrade_but_for_what_has_to_be_fetched(digest: str) -> None:
    options = UpgradeOptions(apply=True)
    decision = decide_upgrade(WITH_STAGED, IMAGE, digest, options)
    assert decide_known(WITH_STAGED, digest, options) == (None if digest == DIGEST_3 else decision)
    assert isinstance(decision, Stage) is (digest == DIGEST_3)


def test_is_update_knows_both_what_is_booted_and_what_is_staged() -> None:
    digests = (DIGEST_1, DIGEST_2, DIGEST_3)
    assert [is_update(WITH_STAGED, digest) for digest in digests] == [False, False, True]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (BOOTED_IMAGE, "quay.io/example/os:latest"),
        ("ostree-unverified-image:oci:/x", "ostree-unverified-image:oci:/x"),
        ("ostree-image-signed:docker://x/y", "ostree-image-signed:docker://x/y"),
    ],
)
def test_display(text: str, shown: str) -> None:
    assert display(SignedImageReference.parse(text)) == shown
