"""`bootc upgrade`: fetch what is followed, decide, stage."""

from bootcpy.errors import ImageContentError
from bootcpy.model.base.printable import LONGEST_LABEL, printable
from bootcpy.model.base.progress import Progress
from bootcpy.model.host.decisions import (
    Decision,
    Stage,
    UpgradeOptions,
    check_options,
    decide_from_downloaded,
    decide_upgrade,
    is_update,
    tracked_image,
)
from bootcpy.model.host.deployments import Deployment, ImageRecord
from bootcpy.model.host.status import image_status
from bootcpy.model.image.difference import layer_diff, render_layer_diff
from bootcpy.model.image.oci import Manifest
from bootcpy.model.image.reference import SignedImageReference
from bootcpy.ostree.host.deployments import read_image
from bootcpy.ostree.image.refs import find_image_commit
from bootcpy.ostree.image.verified import find_image
from bootcpy.system.host import notice
from bootcpy.system.image.skopeo import OpenedImage
from bootcpy.verbs.base.acceptance import is_accepted, note_accepted, require_accepted
from bootcpy.verbs.host.change import (
    Outcome,
    System,
    carry_out,
    changing,
    digest_of,
    note_update,
    pull,
    record_of,
    with_image,
)
from bootcpy.verbs.host.soft_reboot import require_possible
from bootcpy.verbs.host.stage import require_bootable_here, stage_commit


def upgrade(options: UpgradeOptions, progress: Progress) -> Outcome:
    """Bring the followed image's newest version to the next boot, as far as `options` say.

    Raises:
        UsageError: the options contradict each other.
        DeploymentError: nothing is followed, or the system cannot be changed.
        ImageError: the image cannot be fetched, or cannot boot here; nothing is staged.
        NoSpaceError: there is no room; nothing is staged.
    """
    check_options(options)
    with changing(progress) as system:
        require_possible(system.sysroot, options.soft_reboot)
        if options.from_downloaded:
            return _from_downloaded(system, options)
        image = tracked_image(system.state, options.tag)
        pinned = image.image.digest
        if pinned is not None and _is_known(system, image, pinned):
            return _unchanged(system, image, pinned, options)
        if options.check:
            return with_image(image, progress, lambda source: _check(system, image, source))
        decision, commit, record = with_image(
            image, progress, lambda source: _fetch(system, image, source, options)
        )
        if not isinstance(decision.action, Stage):
            return carry_out(system, decision)
        outcome = stage_commit(system, decision, decision.action, commit, record)
        return Outcome(
            lines=(*outcome.lines, *_layer_changes(system.booted, record)), reboot=outcome.reboot
        )


def _from_downloaded(system: System, options: UpgradeOptions) -> Outcome:
    """Release what is staged, or stage again what a reboot has discarded."""
    image = commit = record = None
    if system.state.staged is None:
        image = tracked_image(system.state, options.tag)
        repo = system.sysroot.repo()
        # What another program downloaded has to be fetched, and so checked, by this one.
        named = find_image_commit(repo, image.image)
        stored = None if named is None else read_image(repo, named)
        commit = None if stored is None else find_image(repo, image.image, stored.manifest_digest)
        record = None if commit is None else read_image(repo, commit)
    digest = None if record is None else record.manifest_digest
    decision = decide_from_downloaded(system.state, image, options, stored_digest=digest)
    if isinstance(decision.action, Stage) and commit and record:
        require_accepted(system.sysroot.repo(), commit, decision.action.image.image)
        return stage_commit(system, decision, decision.action, commit, record)
    return carry_out(system, decision)


def _is_known(system: System, image: SignedImageReference, digest: str) -> bool:
    """Tell whether nobody has to be asked for `digest`: it is booted or staged, and accepted."""
    if is_update(system.state, digest):
        return False
    staged = system.state.staged
    if staged is None or digest_of(staged) != digest or not staged.finalization_locked:
        return True
    return is_accepted(system.sysroot.repo(), staged.checksum, image.image)


def _unchanged(
    system: System, image: SignedImageReference, digest: str, options: UpgradeOptions
) -> Outcome:
    """Answer for an image that is pinned to a digest we have: no network is needed."""
    if options.check:
        return Outcome(lines=(f"No changes in: {image.image}",))
    return carry_out(system, decide_upgrade(system.state, image, digest, options))


def _check(system: System, image: SignedImageReference, source: OpenedImage) -> Outcome:
    require_bootable_here(source)
    record = record_of(source)
    note_update(system, image, record)
    if not is_update(system.state, record.manifest_digest):
        return Outcome(lines=(f"No changes in: {image.image}",))
    notice.status_changed()
    status = image_status(image, record)
    version: tuple[str, ...] = ()
    if status.version is not None:
        version = (f"  Version: {printable(status.version, limit=LONGEST_LABEL)}",)
    return Outcome(
        lines=(
            f"Update available for: {image.image}",
            *version,
            f"  Digest: {record.manifest_digest}",
            *_layer_changes(system.booted, record),
        )
    )


def _fetch(
    system: System, image: SignedImageReference, source: OpenedImage, options: UpgradeOptions
) -> tuple[Decision, str, ImageRecord]:
    """Decide by the image's digest, and import the image if it is to be staged."""
    require_bootable_here(source)
    record = record_of(source)
    decision = decide_upgrade(system.state, image, source.manifest_digest, options)
    note_update(system, image, record)
    if not isinstance(decision.action, Stage):
        staged = system.state.staged
        newest = staged is not None and digest_of(staged) == record.manifest_digest
        if staged is not None and newest and staged.origin.image == image:
            note_accepted(system.sysroot.repo(), staged.checksum, source)
        return decision, "", record
    return decision, pull(system, source, image), record


def _layer_changes(booted: Deployment, update: ImageRecord) -> tuple[str, ...]:
    """Return what changes against the booted image's layers, if its manifest can be read."""
    if booted.image is None:
        return ()
    try:
        before = Manifest.parse(booted.image.manifest_text)
    except ImageContentError:
        return ()
    return render_layer_diff(layer_diff(before, Manifest.parse(update.manifest_text)))
