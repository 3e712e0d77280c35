from dataclasses import replace

import pytest

from bootcpy.errors import DeploymentError, UsageError
from bootcpy.model.host.decisions import (
    Decision,
    Keep,
    SetLock,
    SoftReboot,
    Stage,
    UpgradeOptions,
    check_options,
    decide_from_downloaded,
    decide_upgrade,
    display,
    is_update,
    tracked_image,
)
from bootcpy.model.host.deployments import BootState
from bootcpy.model.image.reference import SignedImageReference
from tests.refusals import refused
from tests.unit.model.host.states import (
    BOOTED,
    BOOTED_IMAGE,
    DIGEST_1,
    DIGEST_2,
    DIGEST_3,
    IMAGE,
    LAYERED,
    OTHER,
    PLAIN,
    QUEUED,
    ROLLBACK,
    STAGED_SWITCH,
    WITH_HELD,
    WITH_STAGED,
    deployment,
    origin,
    state,
)

_SWITCH = "say what to follow with `bootc switch IMAGE`"

_APPLIED = "Staged deployment will now be applied on reboot"


@pytest.mark.parametrize(
    ("before", "digest", "options", "expected"),
    [
        pytest.param(
            PLAIN,
            DIGEST_1,
            UpgradeOptions(apply=True, soft_reboot=SoftReboot.AUTO),
            Decision(action=Keep(), messages=("No update available.",)),
            id="booted already: --apply does not reboot",
        ),
        pytest.param(
            PLAIN, DIGEST_2, UpgradeOptions(), Decision(action=Stage(IMAGE)), id="an update"
        ),
        pytest.param(
            PLAIN,
            DIGEST_2,
            UpgradeOptions(apply=True, soft_reboot=SoftReboot.REQUIRED),
            Decision(action=Stage(IMAGE), reboot=True, soft_reboot=SoftReboot.REQUIRED),
            id="an update to apply",
        ),
        pytest.param(
            PLAIN,
            DIGEST_2,
            UpgradeOptions(download_only=True, soft_reboot=SoftReboot.AUTO),
            Decision(action=Stage(IMAGE, locked=True)),
            id="an update to hold back",
        ),
        pytest.param(
            WITH_STAGED,
            DIGEST_2,
            UpgradeOptions(),
            Decision(action=Keep(), messages=("Staged update present, not changed",)),
            id="staged already",
        ),
        pytest.param(
            WITH_STAGED,
            DIGEST_2,
            UpgradeOptions(apply=True),
            Decision(action=Keep(), messages=("Staged update present, not changed",), reboot=True),
            id="staged already: --apply still reboots",
        ),
        pytest.param(
            WITH_STAGED,
            DIGEST_2,
            UpgradeOptions(download_only=True, soft_reboot=SoftReboot.AUTO),
            Decision(
                action=SetLock(locked=True),
                messages=("Image downloaded, but will not be applied on reboot",),
            ),
            id="staged already, to be held back",
        ),
        pytest.param(
            WITH_HELD,
            DIGEST_2,
            UpgradeOptions(download_only=True, soft_reboot=SoftReboot.AUTO),
            Decision(
                action=Keep(), messages=("Image downloaded, but will not be applied on reboot",)
            ),
            id="held back already",
        ),
        pytest.param(
            WITH_HELD,
            DIGEST_2,
            UpgradeOptions(apply=True),
            Decision(action=SetLock(locked=False), messages=(_APPLIED,), reboot=True),
            id="held back: released and applied",
        ),
        pytest.param(
            WITH_HELD,
            DIGEST_3,
            UpgradeOptions(),
            Decision(action=Stage(IMAGE)),
            id="held back, but there is a newer one",
        ),
        pytest.param(
            WITH_STAGED,
            DIGEST_1,
            UpgradeOptions(),
            Decision(
                action=Keep(),
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
            Decision(action=Keep(), messages=("No update available.",)),
            id="nothing new with a rollback queued",
        ),
        pytest.param(
            state(BOOTED, ROLLBACK),
            DIGEST_3,
            UpgradeOptions(),
            Decision(action=Stage(IMAGE)),
            id="the rollback's image again",
        ),
        pytest.param(
            state(replace(BOOTED, image=None)),
            DIGEST_1,
            UpgradeOptions(),
            Decision(action=Stage(IMAGE)),
            id="an origin set by hand on a plain ostree deployment",
        ),
    ],
)
def test_decide_upgrade(
    before: BootState, digest: str, options: UpgradeOptions, expected: Decision
) -> None:
    assert decide_upgrade(before, IMAGE, digest, options) == expected


@pytest.mark.parametrize(
    ("before", "options", "expected"),
    [
        (
            WITH_HELD,
            UpgradeOptions(),
            Decision(action=SetLock(locked=False), messages=(_APPLIED,)),
        ),
        (
            WITH_HELD,
            UpgradeOptions(apply=True, soft_reboot=SoftReboot.AUTO),
            Decision(
                action=SetLock(locked=False),
                messages=(_APPLIED,),
                reboot=True,
                soft_reboot=SoftReboot.AUTO,
            ),
        ),
        (
            WITH_STAGED,
            UpgradeOptions(apply=True),
            Decision(
                action=Keep(),
                messages=("Staged deployment is already set to apply on reboot",),
                reboot=True,
            ),
        ),
    ],
)
def test_decide_from_downloaded(
    before: BootState, options: UpgradeOptions, expected: Decision
) -> None:
    decision = decide_from_downloaded(before, None, options, stored_digest=DIGEST_3)
    assert decision == expected


@pytest.mark.parametrize("stored", [None, DIGEST_1, DIGEST_2])
def test_decide_from_downloaded_needs_what_is_not_deployed(stored: str | None) -> None:
    rolled_back = state(deployment(booted=True), deployment("f00d", index=1, digest=DIGEST_2))
    with refused(
        DeploymentError,
        r"^No staged deployment found$",
        hint="download one with `bootc upgrade --download-only`",
    ):
        decide_from_downloaded(rolled_back, IMAGE, UpgradeOptions(), stored_digest=stored)


def test_decide_from_downloaded_stages_again_what_a_reboot_discarded() -> None:
    options = UpgradeOptions(apply=True, soft_reboot=SoftReboot.AUTO)
    assert decide_from_downloaded(PLAIN, IMAGE, options, stored_digest=DIGEST_2) == Decision(
        action=Stage(IMAGE), reboot=True, soft_reboot=SoftReboot.AUTO
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
            "`bootc switch IMAGE` leaves them behind",
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


def test_is_update_knows_both_what_is_booted_and_what_is_staged() -> None:
    digests = (DIGEST_1, DIGEST_2, DIGEST_3)
    assert [is_update(WITH_STAGED, digest) for digest in digests] == [False, False, True]


@pytest.mark.parametrize(
    ("options", "first", "second"),
    [
        (UpgradeOptions(check=True, apply=True), "--check", "--apply"),
        (UpgradeOptions(check=True, soft_reboot=SoftReboot.AUTO), "--check", "--soft-reboot"),
        (UpgradeOptions(check=True, download_only=True), "--check", "--download-only"),
        (UpgradeOptions(check=True, from_downloaded=True), "--check", "--from-downloaded"),
        (UpgradeOptions(download_only=True, apply=True), "--download-only", "--apply"),
        (
            UpgradeOptions(download_only=True, from_downloaded=True),
            "--download-only",
            "--from-downloaded",
        ),
        (
            UpgradeOptions(download_only=True, soft_reboot=SoftReboot.REQUIRED),
            "--download-only",
            "--soft-reboot=required",
        ),
    ],
)
def test_check_options_refuses_conflicts(options: UpgradeOptions, first: str, second: str) -> None:
    with refused(UsageError, hint="leave one of them out") as caught:
        check_options(options)
    assert caught.value.message == f"the argument '{first}' cannot be used with '{second}'"


@pytest.mark.parametrize("tag", ["", "a b", "a:b", "../x", "x/y", "-x", "ä", "x" * 129])
def test_check_options_refuses_what_is_no_tag(tag: str) -> None:
    with refused(
        UsageError, hint="say only what follows the colon, such as `--tag=stable`"
    ) as caught:
        check_options(UpgradeOptions(tag=tag))
    assert caught.value.message == f"--tag {tag!r} is not a tag"


@pytest.mark.parametrize(
    "options",
    [
        UpgradeOptions(),
        UpgradeOptions(check=True, tag="2"),
        UpgradeOptions(from_downloaded=True, apply=True, soft_reboot=SoftReboot.REQUIRED),
        UpgradeOptions(download_only=True, soft_reboot=SoftReboot.AUTO),
    ],
)
def test_check_options_lets_the_rest_pass(options: UpgradeOptions) -> None:
    check_options(options)


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
