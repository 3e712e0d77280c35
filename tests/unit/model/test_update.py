from dataclasses import replace

import pytest

from bootcpy.errors import BootcpyError, DeploymentError, UsageError
from bootcpy.model.boot_state import BootState
from bootcpy.model.host import BootOrder, HostSpec
from bootcpy.model.image import SignedImageReference
from bootcpy.model.slots import host_from_state
from bootcpy.model.update import (
    Action,
    Decision,
    Keep,
    Reorder,
    SetLock,
    SoftReboot,
    Stage,
    UpgradeOptions,
    check_options,
    decide_edit,
    decide_from_downloaded,
    decide_rollback,
    decide_switch,
    decide_upgrade,
    display,
    is_update,
    require_changeable,
    tracked_image,
)
from tests.unit.model.states import (
    BOOTED_IMAGE,
    DIGEST_1,
    DIGEST_2,
    DIGEST_3,
    deployment,
    origin,
    state,
)

_IMAGE = SignedImageReference.parse(BOOTED_IMAGE)
_OTHER = SignedImageReference.parse("ostree-unverified-registry:quay.io/example/other:1")
_LAYERED = origin(layering=("packages",))

_BOOTED = deployment("bb", index=1, booted=True)
_STAGED = deployment("aa", index=0, staged=True, digest=DIGEST_2)
_HELD = replace(_STAGED, finalization_locked=True)
_STAGED_SWITCH = replace(_STAGED, origin=origin(str(_OTHER)))
_ROLLBACK = deployment("cc", index=2, digest=DIGEST_3)
_QUEUED = replace(_ROLLBACK, index=0)
_PINNED = deployment("dd", index=3, pinned=True)
_FOREIGN = deployment("ee", index=4, stateroot="other")

_PLAIN = state(_BOOTED)
_WITH_STAGED = state(_STAGED, _BOOTED)
_WITH_HELD = state(_HELD, _BOOTED)
_APPLIED = "Staged deployment will now be applied on reboot"


@pytest.mark.parametrize(
    ("before", "digest", "options", "expected"),
    [
        pytest.param(
            _PLAIN,
            DIGEST_1,
            UpgradeOptions(apply=True, soft_reboot=SoftReboot.AUTO),
            Decision(action=Keep(), messages=("No update available.",)),
            id="booted already: --apply does not reboot",
        ),
        pytest.param(
            _PLAIN, DIGEST_2, UpgradeOptions(), Decision(action=Stage(_IMAGE)), id="an update"
        ),
        pytest.param(
            _PLAIN,
            DIGEST_2,
            UpgradeOptions(apply=True, soft_reboot=SoftReboot.REQUIRED),
            Decision(action=Stage(_IMAGE), reboot=True, soft_reboot=SoftReboot.REQUIRED),
            id="an update to apply",
        ),
        pytest.param(
            _PLAIN,
            DIGEST_2,
            UpgradeOptions(download_only=True, soft_reboot=SoftReboot.AUTO),
            Decision(action=Stage(_IMAGE, locked=True)),
            id="an update to hold back",
        ),
        pytest.param(
            _WITH_STAGED,
            DIGEST_2,
            UpgradeOptions(),
            Decision(action=Keep(), messages=("Staged update present, not changed",)),
            id="staged already",
        ),
        pytest.param(
            _WITH_STAGED,
            DIGEST_2,
            UpgradeOptions(apply=True),
            Decision(action=Keep(), messages=("Staged update present, not changed",), reboot=True),
            id="staged already: --apply still reboots",
        ),
        pytest.param(
            _WITH_STAGED,
            DIGEST_2,
            UpgradeOptions(download_only=True, soft_reboot=SoftReboot.AUTO),
            Decision(
                action=SetLock(locked=True),
                messages=("Image downloaded, but will not be applied on reboot",),
            ),
            id="staged already, to be held back",
        ),
        pytest.param(
            _WITH_HELD,
            DIGEST_2,
            UpgradeOptions(download_only=True, soft_reboot=SoftReboot.AUTO),
            Decision(
                action=Keep(), messages=("Image downloaded, but will not be applied on reboot",)
            ),
            id="held back already",
        ),
        pytest.param(
            _WITH_HELD,
            DIGEST_2,
            UpgradeOptions(apply=True),
            Decision(action=SetLock(locked=False), messages=(_APPLIED,), reboot=True),
            id="held back: released and applied",
        ),
        pytest.param(
            _WITH_HELD,
            DIGEST_3,
            UpgradeOptions(),
            Decision(action=Stage(_IMAGE)),
            id="held back, but there is a newer one",
        ),
        pytest.param(
            _WITH_STAGED,
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
            state(_QUEUED, _BOOTED),
            DIGEST_1,
            UpgradeOptions(),
            Decision(action=Keep(), messages=("No update available.",)),
            id="nothing new with a rollback queued",
        ),
        pytest.param(
            state(_BOOTED, _ROLLBACK),
            DIGEST_3,
            UpgradeOptions(),
            Decision(action=Stage(_IMAGE)),
            id="the rollback's image again",
        ),
        pytest.param(
            state(replace(_BOOTED, image=None)),
            DIGEST_1,
            UpgradeOptions(),
            Decision(action=Stage(_IMAGE)),
            id="an origin set by hand on a plain ostree deployment",
        ),
    ],
)
def test_decide_upgrade(
    before: BootState, digest: str, options: UpgradeOptions, expected: Decision
) -> None:
    assert decide_upgrade(before, _IMAGE, digest, options) == expected


@pytest.mark.parametrize(
    ("before", "options", "expected"),
    [
        (
            _WITH_HELD,
            UpgradeOptions(),
            Decision(action=SetLock(locked=False), messages=(_APPLIED,)),
        ),
        (
            _WITH_HELD,
            UpgradeOptions(apply=True, soft_reboot=SoftReboot.AUTO),
            Decision(
                action=SetLock(locked=False),
                messages=(_APPLIED,),
                reboot=True,
                soft_reboot=SoftReboot.AUTO,
            ),
        ),
        (
            _WITH_STAGED,
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
    with pytest.raises(DeploymentError, match=r"^No staged deployment found$"):
        decide_from_downloaded(rolled_back, _IMAGE, UpgradeOptions(), stored_digest=stored)


def test_decide_from_downloaded_stages_again_what_a_reboot_discarded() -> None:
    options = UpgradeOptions(apply=True, soft_reboot=SoftReboot.AUTO)
    assert decide_from_downloaded(_PLAIN, _IMAGE, options, stored_digest=DIGEST_2) == Decision(
        action=Stage(_IMAGE), reboot=True, soft_reboot=SoftReboot.AUTO
    )


@pytest.mark.parametrize(
    ("before", "tag", "expected"),
    [
        (_PLAIN, None, "ostree-unverified-registry:quay.io/example/os:latest"),
        (state(_STAGED_SWITCH, _BOOTED), None, str(_OTHER)),
        (_PLAIN, "2", "ostree-unverified-registry:quay.io/example/os:2"),
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
    ("before", "tag", "message"),
    [
        (
            state(replace(_BOOTED, origin=_LAYERED)),
            "2",
            (
                "Deployment contains local rpm-ostree modifications; cannot upgrade via bootc. "
                "You can run `rpm-ostree reset` to undo the modifications."
            ),
        ),
        (state(replace(_BOOTED, origin=origin(None))), None, "No image source specified"),
        (
            state(replace(_BOOTED, origin=origin(None))),
            "2",
            "--tag requires a booted image with a specified source",
        ),
        (BootState(), None, "No image source specified"),
    ],
)
def test_tracked_image_refuses(before: BootState, tag: str | None, message: str) -> None:
    with pytest.raises(DeploymentError) as caught:
        tracked_image(before, tag)
    assert caught.value.message == message


def test_is_update_knows_both_what_is_booted_and_what_is_staged() -> None:
    digests = (DIGEST_1, DIGEST_2, DIGEST_3)
    assert [is_update(_WITH_STAGED, digest) for digest in digests] == [False, False, True]


@pytest.mark.parametrize(
    ("before", "target", "expected"),
    [
        pytest.param(
            _PLAIN, _OTHER, Decision(action=Stage(_OTHER), reboot=True), id="another image"
        ),
        pytest.param(
            _PLAIN,
            _IMAGE,
            Decision(action=Keep(), messages=("Image specification is unchanged.",)),
            id="what is booted",
        ),
        pytest.param(
            state(_STAGED_SWITCH, _BOOTED),
            _OTHER,
            Decision(action=Keep(), messages=("Image specification is unchanged.",), reboot=True),
            id="what is staged: --apply still reboots",
        ),
        pytest.param(
            state(_STAGED_SWITCH, _BOOTED),
            _IMAGE,
            Decision(action=Stage(_IMAGE), reboot=True),
            id="back to what is booted, over a staged switch",
        ),
        pytest.param(
            _WITH_HELD,
            _IMAGE,
            Decision(
                action=SetLock(locked=False),
                messages=("Image specification is unchanged.", _APPLIED),
                reboot=True,
            ),
            id="what is held back is released",
        ),
        pytest.param(
            state(_QUEUED, _BOOTED, _PINNED),
            _IMAGE,
            Decision(
                action=Reorder((_BOOTED, _QUEUED, _PINNED)),
                messages=(
                    "Image specification is unchanged.",
                    "notice: Reverting queued rollback state",
                    "Next boot: current deployment",
                ),
            ),
            id="what is booted, with a rollback queued",
        ),
        pytest.param(
            state(_BOOTED, replace(_ROLLBACK, origin=origin(str(_OTHER)))),
            _OTHER,
            Decision(action=Stage(_OTHER), reboot=True),
            id="the rollback's image",
        ),
        pytest.param(
            _PLAIN,
            SignedImageReference.parse("ostree-image-signed:docker://quay.io/example/os:latest"),
            Decision(
                action=Stage(
                    SignedImageReference.parse(
                        "ostree-image-signed:docker://quay.io/example/os:latest"
                    )
                ),
                reboot=True,
            ),
            id="the same image with a signature",
        ),
        pytest.param(
            state(replace(_BOOTED, origin=_LAYERED)),
            _IMAGE,
            Decision(action=Stage(_IMAGE), reboot=True),
            id="away from local modifications",
        ),
        pytest.param(
            state(replace(_BOOTED, origin=origin(None, refspec="a:b"), image=None)),
            _IMAGE,
            Decision(action=Stage(_IMAGE), reboot=True),
            id="from plain ostree",
        ),
    ],
)
def test_decide_switch(before: BootState, target: SignedImageReference, expected: Decision) -> None:
    assert decide_switch(before, target, apply=True) == expected


_TO_ROLLBACK = ("Next boot: rollback deployment",)
_TAKEN_BACK = ("notice: Reverting queued rollback state", "Next boot: current deployment")
_DISCARDED = f"Discarding the staged image quay.io/example/os:latest ({DIGEST_2})"


@pytest.mark.parametrize(
    ("before", "action", "messages"),
    [
        pytest.param(
            state(_BOOTED, _ROLLBACK, _PINNED, _FOREIGN),
            Reorder((_ROLLBACK, _BOOTED, _PINNED, _FOREIGN)),
            _TO_ROLLBACK,
            id="queued",
        ),
        pytest.param(
            state(_QUEUED, _BOOTED), Reorder((_BOOTED, _QUEUED)), _TAKEN_BACK, id="taken back"
        ),
        pytest.param(
            state(_STAGED, _BOOTED, _ROLLBACK),
            Reorder((_ROLLBACK, _BOOTED)),
            (_DISCARDED, *_TO_ROLLBACK),
            id="over a staged update",
        ),
        pytest.param(
            state(_STAGED, _QUEUED, _BOOTED),
            Reorder((_QUEUED, _BOOTED)),
            (_DISCARDED, *_TO_ROLLBACK),
            id="over an update staged after a rollback was queued",
        ),
        pytest.param(
            state(_HELD, _QUEUED, _BOOTED),
            Reorder((_BOOTED, _QUEUED)),
            (_DISCARDED, *_TAKEN_BACK),
            id="taken back although an update is held back",
        ),
        pytest.param(
            state(_BOOTED, replace(_ROLLBACK, image=None, origin=origin(None, refspec="a:b"))),
            Reorder((replace(_ROLLBACK, image=None, origin=origin(None, refspec="a:b")), _BOOTED)),
            _TO_ROLLBACK,
            id="to plain ostree",
        ),
    ],
)
def test_decide_rollback(before: BootState, action: Action, messages: tuple[str, ...]) -> None:
    assert decide_rollback(before, apply=True) == Decision(
        action=action, messages=messages, reboot=True
    )


def test_decide_rollback_needs_a_rollback() -> None:
    with pytest.raises(DeploymentError, match=r"^No rollback available$"):
        decide_rollback(state(_STAGED, _BOOTED, _FOREIGN))


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (BootState(), "System not booted via bootc"),
        (
            state(_BOOTED, read_only=True),
            (
                "Cannot perform this operation: /sysroot is on a read-only block device "
                "(e.g. a live ISO)"
            ),
        ),
    ],
)
def test_require_changeable_refuses(before: BootState, message: str) -> None:
    with pytest.raises(DeploymentError) as caught:
        require_changeable(before)
    assert caught.value.message == message
    assert caught.value.hint


def _spec(before: BootState) -> HostSpec:
    return host_from_state(before).spec


def test_decide_edit_without_a_change_does_nothing() -> None:
    assert decide_edit(_PLAIN, _spec(_PLAIN), _spec(_PLAIN)) is None


def test_decide_edit_of_the_image_stages_it() -> None:
    after = replace(_spec(_PLAIN), image=_OTHER)
    assert decide_edit(_PLAIN, _spec(_PLAIN), after) == Decision(action=Stage(_OTHER))


@pytest.mark.parametrize(
    ("before", "order"),
    [
        (state(_BOOTED, _ROLLBACK), BootOrder.ROLLBACK),
        (state(_QUEUED, _BOOTED), BootOrder.DEFAULT),
    ],
)
def test_decide_edit_of_the_boot_order_is_a_rollback(before: BootState, order: BootOrder) -> None:
    after = replace(_spec(before), boot_order=order)
    assert decide_edit(before, _spec(before), after) == decide_rollback(before)


@pytest.mark.parametrize(
    ("before", "change", "message"),
    [
        (_PLAIN, {"image": None}, "Missing image in specification"),
        (
            state(_BOOTED, _ROLLBACK),
            {"image": _OTHER, "boot_order": BootOrder.ROLLBACK},
            "Invalid state transition: rollback and image change",
        ),
        (
            state(_STAGED, _QUEUED, _BOOTED),
            {"boot_order": BootOrder.DEFAULT},
            "Invalid state transition: the boot order is decided by the staged deployment",
        ),
    ],
)
def test_decide_edit_refuses(before: BootState, change: dict[str, object], message: str) -> None:
    after = replace(_spec(before), **change)  # type: ignore[arg-type]  # of the tables' values
    with pytest.raises(BootcpyError) as caught:
        decide_edit(before, _spec(before), after)
    assert caught.value.message == message


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
    with pytest.raises(UsageError) as caught:
        check_options(options)
    assert caught.value.message == f"the argument '{first}' cannot be used with '{second}'"


@pytest.mark.parametrize("tag", ["", "a b", "a:b", "../x", "x/y", "-x", "ä", "x" * 129])
def test_check_options_refuses_what_is_no_tag(tag: str) -> None:
    with pytest.raises(UsageError) as caught:
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
