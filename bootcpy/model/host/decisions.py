"""What `upgrade`, `switch`, `rollback` and `edit` do, decided from facts alone.

A decision is to stage an image, or to adjust what is deployed, and how the command ends. Every
combination of what is booted, staged, held back and found in the registry goes through the
functions here; the verbs only fetch, carry out and print. Wording is bootc's (`cli.rs`,
`deploy.rs`).

Where bootc would do nothing although something was asked for, this does it, and the
function's docstring says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bootcpy import paths
from bootcpy.errors import DeploymentError
from bootcpy.model.base.listing import shown_few
from bootcpy.model.host.deployments import BootState, Deployment, ImageCommit
from bootcpy.model.host.document import BootOrder, HostSpec
from bootcpy.model.host.options import SoftReboot, UpgradeOptions
from bootcpy.model.image.reference import SignedImageReference

APPLIED_LATER = "Staged deployment will now be applied on reboot"
HELD_BACK = "Image downloaded, but will not be applied on reboot"
UNCHANGED = "Image specification is unchanged."
NO_UPDATE = "No update available."


@dataclass(frozen=True, slots=True)
class Keep:
    """Leave every deployment as it is."""


@dataclass(frozen=True, slots=True)
class SetLock:
    """Hold the staged deployment back from the next boot, or release it."""

    locked: bool


@dataclass(frozen=True, slots=True)
class Reorder:
    """Write the boot order; a staged deployment, which is not in it, is discarded."""

    order: tuple[Deployment, ...]


Action = Keep | SetLock | Reorder


@dataclass(frozen=True, slots=True)
class Adjust:
    """What to do with the deployments there are, and what to print once it is done.

    `reboot` says whether to reboot then; `soft_reboot` is set where one is to be prepared
    before the command ends.
    """

    action: Action
    messages: tuple[str, ...] = field(default=(), kw_only=True)
    reboot: bool = field(default=False, kw_only=True)
    soft_reboot: SoftReboot | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Stage:
    """Fetch `image`, and stage it to be followed; `locked` holds it back from the next boot.

    `reboot` and `soft_reboot` are as of `Adjust`.
    """

    image: SignedImageReference
    locked: bool = field(default=False, kw_only=True)
    reboot: bool = field(default=False, kw_only=True)
    soft_reboot: SoftReboot | None = field(default=None, kw_only=True)


Decision = Adjust | Stage


def require_changeable(state: BootState) -> Deployment:
    """Return the booted deployment of a system whose deployments may be changed.

    Raises:
        DeploymentError: the system was not booted through libostree, or from a medium
            that cannot be written.
    """
    booted = state.booted
    if booted is None:
        raise DeploymentError(
            "System not booted via bootc",
            hint="install an image with `bootc install`, and boot it",
        )
    if state.read_only:
        raise DeploymentError(
            "Cannot perform this operation: /sysroot is on a read-only block device "
            "(e.g. a live ISO)",
            hint="install the system to a disk first",
        )
    return booted


def tracked_image(state: BootState, tag: str | None = None) -> SignedImageReference:
    """Return the image that an upgrade fetches: the staged one's, else the booted one's.

    A staged switch is thus followed. With `tag`, it is that tag of the same repository.

    Raises:
        DeploymentError: nothing is followed, or rpm-ostree has changed the deployment.
    """
    current = state.staged or state.booted
    layered = current is not None and current.origin.layering
    image = None if current is None or layered else current.origin.image
    if image is not None:
        if tag is None:
            return image
        return SignedImageReference(image.image.with_tag(tag), image.signature)
    if any(d is not None and d.origin.layering for d in (state.booted, state.staged)):
        raise DeploymentError(
            "Deployment contains local rpm-ostree modifications; cannot upgrade via bootc. "
            "You can run `rpm-ostree reset` to undo the modifications.",
            hint="`bootc switch IMAGE` stages an image without these modifications",
        )
    if tag is not None:
        raise DeploymentError(
            "--tag requires a booted image with a specified source",
            hint="choose the image to follow with `bootc switch IMAGE`",
        )
    raise DeploymentError(
        "No image source specified", hint="choose the image to follow with `bootc switch IMAGE`"
    )


def decide_upgrade(
    state: BootState, image: SignedImageReference, digest: str, options: UpgradeOptions
) -> Decision:
    """Return what `bootc upgrade` does after `image` turned out to have the manifest `digest`.

    Releasing or holding back what is staged already counts as an upgrade: it still honours
    `--apply`, which bootc does as well.
    """
    return decide_known(state, digest, options) or Stage(
        image,
        locked=options.download_only,
        reboot=options.apply,
        soft_reboot=None if options.download_only else options.soft_reboot,
    )


def decide_known(state: BootState, digest: str, options: UpgradeOptions) -> Adjust | None:
    """Return what `bootc upgrade` does if `digest` is staged or booted; None if it is neither."""
    staged = state.staged
    if staged is not None and _digest(staged) == digest:
        return _decide_staged(staged, options)
    if _digest(state.booted) == digest:
        held = () if staged is None else (f"Note: {_describe(staged)} remains staged.",)
        return Adjust(Keep(), messages=(NO_UPDATE, *held))
    return None


def _decide_staged(staged: Deployment, options: UpgradeOptions) -> Adjust:
    locked = staged.finalization_locked
    action: Action = Keep()
    if options.download_only:
        action = Keep() if locked else SetLock(locked=True)
        message = HELD_BACK
    elif locked:
        action = SetLock(locked=False)
        message = APPLIED_LATER
    else:
        message = "Staged update present, not changed"
    return Adjust(
        action,
        messages=(message,),
        reboot=options.apply,
        soft_reboot=None if options.download_only else options.soft_reboot,
    )


def decide_release(staged: Deployment, options: UpgradeOptions) -> Adjust:
    """Return what `bootc upgrade --from-downloaded` does with what is staged."""
    locked = staged.finalization_locked
    return Adjust(
        SetLock(locked=False) if locked else Keep(),
        messages=(
            APPLIED_LATER if locked else "Staged deployment is already set to apply on reboot",
        ),
        reboot=options.apply,
        soft_reboot=options.soft_reboot,
    )


def decide_restage(
    state: BootState,
    image: SignedImageReference,
    stored: ImageCommit | None,
    options: UpgradeOptions,
) -> tuple[Stage, ImageCommit]:
    """Return what `bootc upgrade --from-downloaded` stages when nothing is staged.

    What is staged does not outlive a reboot, but the image it was made from does: `stored` is
    the version of `image`, which is followed, that the repository holds. Where bootc finds
    nothing staged, this is staged again, unless it is deployed.

    Raises:
        DeploymentError: nothing was downloaded.
    """
    deployed = {_digest(deployment) for deployment in state.deployments}
    if stored is None or stored.record.manifest_digest in deployed:
        raise DeploymentError(
            "No staged deployment found", hint="download one with `bootc upgrade --download-only`"
        )
    return Stage(image, reboot=options.apply, soft_reboot=options.soft_reboot), stored


def is_update(state: BootState, digest: str) -> bool:
    """Return whether the manifest `digest` is neither booted nor staged (`upgrade --check`)."""
    return digest not in {_digest(state.booted), _digest(state.staged)}


def decide_switch(
    state: BootState,
    target: SignedImageReference,
    *,
    apply: bool = False,
    soft_reboot: SoftReboot | None = None,
) -> Decision:
    """Return what `bootc switch` does.

    Asked for what is followed already, bootc changes nothing even where the next boot
    would bring up something else. Here a staged deployment that is held back is released,
    and a queued rollback is taken back, so that the next boot is what was asked for.
    """
    staged, booted = state.staged, require_changeable(state)
    current = staged or booted
    if current.origin.layering or current.origin.image != target or current.image is None:
        return Stage(target, reboot=apply, soft_reboot=soft_reboot)
    if staged is not None:
        locked = staged.finalization_locked
        return Adjust(
            SetLock(locked=False) if locked else Keep(),
            messages=(UNCHANGED, APPLIED_LATER) if locked else (UNCHANGED,),
            reboot=apply,
            soft_reboot=soft_reboot,
        )
    if state.rollback_queued:
        return Adjust(
            Reorder(_order(state, booted)),
            messages=(UNCHANGED, *_REVERTED),
            soft_reboot=None,
        )
    return Adjust(Keep(), messages=(UNCHANGED,))


def choose_stateroot(stateroots: Sequence[str], booted: str | None) -> str:
    """Return which of the `stateroots` with deployments `switch --mutate-in-place` means.

    Raises:
        DeploymentError: there is none, or there are several of which none is `booted`.
    """
    if not stateroots:
        raise DeploymentError(
            f"there is no deployment below {paths.SYSROOT}/ostree/deploy",
            hint="deploy one first, or leave out --mutate-in-place",
        )
    if len(stateroots) == 1:
        return stateroots[0]
    if booted is not None and booted in stateroots:
        return booted
    raise DeploymentError(
        f"there are several stateroots, and none of them is booted: {shown_few(stateroots)}",
        hint="boot the one that is meant, or edit the .origin file of its deployment",
    )


_REVERTED = ("notice: Reverting queued rollback state", "Next boot: current deployment")


def decide_rollback(
    state: BootState, *, apply: bool = False, soft_reboot: SoftReboot | None = None
) -> Adjust:
    """Return what `bootc rollback` does: make the rollback the next boot, or take that back.

    It goes by what would boot next: with an update staged that is the update, so that
    even a rollback queued before is queued again rather than taken back. The update is
    discarded, and the message says so. Unlike bootc's, the rollback may be a plain ostree
    deployment.

    Raises:
        DeploymentError: there is no rollback.
    """
    booted, rollback, staged = require_changeable(state), state.rollback, state.staged
    if rollback is None:
        raise DeploymentError(
            "No rollback available", hint="no other deployment has run here; see `bootc status`"
        )
    updates_next = staged is not None and not staged.finalization_locked
    discarded = () if staged is None else (f"Discarding the staged {_describe(staged)}",)
    if state.rollback_queued and not updates_next:
        return Adjust(
            Reorder(_order(state, booted)),
            messages=(*discarded, *_REVERTED),
            reboot=apply,
            soft_reboot=soft_reboot,
        )
    return Adjust(
        Reorder(_order(state, rollback)),
        messages=(*discarded, "Next boot: rollback deployment"),
        reboot=apply,
        soft_reboot=soft_reboot,
    )


def _order(state: BootState, first: Deployment) -> tuple[Deployment, ...]:
    """Return booted and rollback with `first` before the other, then the rest as it was."""
    heads = (state.booted, state.rollback)
    pair = [first, *(d for d in heads if d is not None and d is not first)]
    rest = [d for d in state.deployments if d not in pair and d is not state.staged]
    return (*pair, *rest)


def decide_edit(state: BootState, before: HostSpec, after: HostSpec) -> Decision | None:
    """Return what an edited spec asks for; None if nothing was changed.

    Raises:
        DeploymentError: the spec has no image, or changes two things at once.
    """
    if before == after:
        return None
    if after.image is None:
        raise DeploymentError("Missing image in specification", hint="do not remove spec.image")
    if before.boot_order == after.boot_order:
        return Stage(after.image)
    if before.image != after.image:
        raise DeploymentError(
            "Invalid state transition: rollback and image change",
            hint="change first the image, then the boot order in a second edit",
        )
    decision = decide_rollback(state)
    wanted = after.boot_order is BootOrder.ROLLBACK
    if isinstance(decision.action, Reorder) and (decision.action.order[0].booted is wanted):
        raise DeploymentError(
            "Invalid state transition: the boot order is decided by the staged deployment",
            hint="run `bootc rollback`",
        )
    return decision


def _digest(deployment: Deployment | None) -> str | None:
    return (
        None
        if deployment is None or deployment.image is None
        else (deployment.image.manifest_digest)
    )


def _describe(deployment: Deployment) -> str:
    """Name a deployment by its image and digest, else by its commit."""
    image, digest = deployment.origin.image, _digest(deployment)
    if image is None or digest is None:
        return f"ostree commit {deployment.checksum}"
    return f"image {display(image)} ({digest})"


def display(image: SignedImageReference) -> str:
    """Return the reference as messages have it: the bare name of an unsigned registry image."""
    text = str(image)
    return text.removeprefix("ostree-unverified-registry:")
