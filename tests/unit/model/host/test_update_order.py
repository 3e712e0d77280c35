from dataclasses import replace

import pytest

from bootcpy.errors import BootcpyError, DeploymentError
from bootcpy.model.host.decisions import (
    Action,
    Adjust,
    Decision,
    Keep,
    Reorder,
    SetLock,
    Stage,
    choose_stateroot,
    decide_edit,
    decide_rollback,
    decide_switch,
    require_changeable,
)
from bootcpy.model.host.deployments import BootState
from bootcpy.model.host.document import BootOrder, HostSpec
from bootcpy.model.host.status import host_from_state
from bootcpy.model.image.reference import SignedImageReference
from tests.refusals import refused
from tests.unit.model.host.states import (
    BOOTED,
    DIGEST_2,
    FOREIGN,
    HELD,
    IMAGE,
    LAYERED,
    OTHER,
    PINNED,
    PLAIN,
    QUEUED,
    ROLLBACK,
    STAGED,
    STAGED_SWITCH,
    WITH_HELD,
    origin,
    state,
)

_APPLIED = "Staged deployment will now be applied on reboot"


@pytest.mark.parametrize(
    ("before", "target", "expected"),
    [
        pytest.param(PLAIN, OTHER, Stage(OTHER, reboot=True), id="another image"),
        pytest.param(
            PLAIN,
            IMAGE,
            Adjust(Keep(), messages=("Image specification is unchanged.",)),
            id="what is booted",
        ),
        pytest.param(
            state(STAGED_SWITCH, BOOTED),
            OTHER,
            Adjust(Keep(), messages=("Image specification is unchanged.",), reboot=True),
            id="what is staged: --apply still reboots",
        ),
        pytest.param(
            state(STAGED_SWITCH, BOOTED),
            IMAGE,
            Stage(IMAGE, reboot=True),
            id="back to what is booted, over a staged switch",
        ),
        pytest.param(
            WITH_HELD,
            IMAGE,
            Adjust(
                SetLock(locked=False),
                messages=("Image specification is unchanged.", _APPLIED),
                reboot=True,
            ),
            id="what is held back is released",
        ),
        pytest.param(
            state(QUEUED, BOOTED, PINNED),
            IMAGE,
            Adjust(
                Reorder((BOOTED, QUEUED, PINNED)),
                messages=(
                    "Image specification is unchanged.",
                    "notice: Reverting queued rollback state",
                    "Next boot: current deployment",
                ),
            ),
            id="what is booted, with a rollback queued",
        ),
        pytest.param(
            state(BOOTED, replace(ROLLBACK, origin=origin(str(OTHER)))),
            OTHER,
            Stage(OTHER, reboot=True),
            id="the rollback's image",
        ),
        pytest.param(
            PLAIN,
            SignedImageReference.parse("ostree-image-signed:docker://quay.io/example/os:latest"),
            Stage(
                SignedImageReference.parse(
                    "ostree-image-signed:docker://quay.io/example/os:latest"
                ),
                reboot=True,
            ),
            id="the same image with a signature",
        ),
        pytest.param(
            state(replace(BOOTED, origin=LAYERED)),
            IMAGE,
            Stage(IMAGE, reboot=True),
            id="away from local modifications",
        ),
        pytest.param(
            state(replace(BOOTED, origin=origin(None, refspec="a:b"), image=None)),
            IMAGE,
            Stage(IMAGE, reboot=True),
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
            state(BOOTED, ROLLBACK, PINNED, FOREIGN),
            Reorder((ROLLBACK, BOOTED, PINNED, FOREIGN)),
            _TO_ROLLBACK,
            id="queued",
        ),
        pytest.param(
            state(QUEUED, BOOTED), Reorder((BOOTED, QUEUED)), _TAKEN_BACK, id="taken back"
        ),
        pytest.param(
            state(STAGED, BOOTED, ROLLBACK),
            Reorder((ROLLBACK, BOOTED)),
            (_DISCARDED, *_TO_ROLLBACK),
            id="over a staged update",
        ),
        pytest.param(
            state(STAGED, QUEUED, BOOTED),
            Reorder((QUEUED, BOOTED)),
            (_DISCARDED, *_TO_ROLLBACK),
            id="over an update staged after a rollback was queued",
        ),
        pytest.param(
            state(HELD, QUEUED, BOOTED),
            Reorder((BOOTED, QUEUED)),
            (_DISCARDED, *_TAKEN_BACK),
            id="taken back although an update is held back",
        ),
        pytest.param(
            state(BOOTED, replace(ROLLBACK, image=None, origin=origin(None, refspec="a:b"))),
            Reorder((replace(ROLLBACK, image=None, origin=origin(None, refspec="a:b")), BOOTED)),
            _TO_ROLLBACK,
            id="to plain ostree",
        ),
    ],
)
def test_decide_rollback(before: BootState, action: Action, messages: tuple[str, ...]) -> None:
    assert decide_rollback(before, apply=True) == Adjust(action, messages=messages, reboot=True)


def test_decide_rollback_needs_a_rollback() -> None:
    with refused(
        DeploymentError,
        r"^No rollback available$",
        hint="no other deployment has run here; see `bootc status`",
    ):
        decide_rollback(state(STAGED, BOOTED, FOREIGN))


@pytest.mark.parametrize(
    ("before", "message", "hint"),
    [
        (
            BootState(),
            "System not booted via bootc",
            "install an image with `bootc install`, and boot it",
        ),
        (
            state(BOOTED, read_only=True),
            (
                "Cannot perform this operation: /sysroot is on a read-only block device "
                "(e.g. a live ISO)"
            ),
            "install the system to a disk first",
        ),
    ],
)
def test_require_changeable_refuses(before: BootState, message: str, hint: str) -> None:
    with refused(DeploymentError, hint=hint) as caught:
        require_changeable(before)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("stateroots", "booted", "chosen"),
    [
        (["default"], None, "default"),
        (["default"], "elsewhere", "default"),
        (["a", "default"], "default", "default"),
    ],
)
def test_choose_stateroot(stateroots: list[str], booted: str | None, chosen: str) -> None:
    assert choose_stateroot(stateroots, booted) == chosen


@pytest.mark.parametrize(
    ("stateroots", "booted", "message"),
    [
        ([], None, "there is no deployment below /sysroot/ostree/deploy"),
        (
            ["a", "default"],
            None,
            "there are several stateroots, and none of them is booted: a, default",
        ),
        (
            ["a", "default"],
            "live",
            "there are several stateroots, and none of them is booted: a, default",
        ),
    ],
)
def test_choose_stateroot_refuses(stateroots: list[str], booted: str | None, message: str) -> None:
    with pytest.raises(DeploymentError) as caught:
        choose_stateroot(stateroots, booted)
    assert caught.value.message == message
    assert caught.value.hint


def _spec(before: BootState) -> HostSpec:
    return host_from_state(before).spec


def test_decide_edit_without_a_change_does_nothing() -> None:
    assert decide_edit(PLAIN, _spec(PLAIN), _spec(PLAIN)) is None


def test_decide_edit_of_the_image_stages_it() -> None:
    after = replace(_spec(PLAIN), image=OTHER)
    assert decide_edit(PLAIN, _spec(PLAIN), after) == Stage(OTHER)


@pytest.mark.parametrize(
    ("before", "order"),
    [
        (state(BOOTED, ROLLBACK), BootOrder.ROLLBACK),
        (state(QUEUED, BOOTED), BootOrder.DEFAULT),
    ],
)
def test_decide_edit_of_the_boot_order_is_a_rollback(before: BootState, order: BootOrder) -> None:
    after = replace(_spec(before), boot_order=order)
    assert decide_edit(before, _spec(before), after) == decide_rollback(before)


@pytest.mark.parametrize(
    ("before", "change", "message", "hint"),
    [
        (PLAIN, {"image": None}, "Missing image in specification", "do not remove spec.image"),
        (
            state(BOOTED, ROLLBACK),
            {"image": OTHER, "boot_order": BootOrder.ROLLBACK},
            "Invalid state transition: rollback and image change",
            "change first the image, then the boot order in a second edit",
        ),
        (
            state(STAGED, QUEUED, BOOTED),
            {"boot_order": BootOrder.DEFAULT},
            "Invalid state transition: the boot order is decided by the staged deployment",
            "run `bootc rollback`",
        ),
    ],
)
def test_decide_edit_refuses(
    before: BootState, change: dict[str, object], message: str, hint: str
) -> None:
    after = replace(_spec(before), **change)  # type: ignore[arg-type]  # of the tables' values
    with refused(BootcpyError, hint=hint) as caught:
        decide_edit(before, _spec(before), after)
    assert caught.value.message == message
