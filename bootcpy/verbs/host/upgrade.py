"""`bootc upgrade`: fetch what is followed, decide, stage."""

from bootcpy.errors import ImageContentError
from bootcpy.model.base.printable import LONGEST_LABEL, printable
from bootcpy.model.base.progress import Progress
from bootcpy.model.host.decisions import (
    Adjust,
    Stage,
    decide_known,
    decide_release,
    decide_restage,
    decide_upgrade,
    is_update,
    tracked_image,
)
from bootcpy.model.host.deployments import Deployment, ImageCommit, ImageRecord
from bootcpy.model.host.options import UpgradeOptions, check_options
from bootcpy.model.host.status import image_status
from bootcpy.model.image.difference import layer_diff, render_layer_diff
from bootcpy.model.image.oci import Manifest
from bootcpy.model.image.reference import SignedImageReference
from bootcpy.system.host import notice
from bootcpy.system.image.skopeo import OpenedImage
from bootcpy.verbs.base.acceptance import is_accepted, note_accepted, require_accepted
from bootcpy.verbs.host.change import REPO, Outcome, System, carry_out, changing, digest_of
from bootcpy.verbs.host.fetch import fetch, note_update, record_of, with_bootable_image
from bootcpy.verbs.host.soft_reboot import require_possible
from bootcpy.verbs.host.stage import stage_commit


def upgrade(options: UpgradeOptions, progress: Progress) -> Outcome:
    """Bring the followed image's newest version to the next boot, as far as `options` say.

    Raises:
        UsageError: the options contradict each other.
        DeploymentError: nothing is followed, or the system cannot be changed.
        ImageError: the image cannot be fetched, or cannot boot here; nothing is staged.
        NoSpaceError: there is not enough space; nothing is staged.
    """
    check_options(options)
    with changing(progress) as system:
        require_possible(system.ostree, options.soft_reboot)
        if options.from_downloaded:
            return _release_or_restage(system, options)
        image = tracked_image(system.state, options.tag)
        known = _decide_pinned(system, image, options)
        if known is not None:
            return _report_unchanged(image) if options.check else carry_out(system, known)
        if options.check:
            return with_bootable_image(
                image, progress, lambda source: _check(system, image, source)
            )
        fetched = with_bootable_image(
            image, progress, lambda source: _fetch_update(system, image, source, options)
        )
        if isinstance(fetched, Adjust):
            return carry_out(system, fetched)
        stage, stored = fetched
        outcome = stage_commit(system, stage, stored)
        return Outcome(
            lines=(*outcome.lines, *_describe_layer_changes(system.booted, stored.record)),
            reboot=outcome.reboot,
        )


def _release_or_restage(system: System, options: UpgradeOptions) -> Outcome:
    """Release what is staged, or stage again what a reboot has discarded."""
    if system.state.staged is not None:
        return carry_out(system, decide_release(system.state.staged, options))
    image = tracked_image(system.state, options.tag)
    found = system.ostree.find_downloaded(image.image)
    stage, stored = decide_restage(system.state, image, found, options)
    require_accepted(REPO, stored.commit, image.image)
    return stage_commit(system, stage, stored)


def _decide_pinned(
    system: System, image: SignedImageReference, options: UpgradeOptions
) -> Adjust | None:
    """Decide about an image that is pinned to a digest we have; None if somebody has to be asked.

    That is so too where it is held back, and today's policy would not let it be released.
    """
    digest, staged = image.image.digest, system.state.staged
    known = None if digest is None else decide_known(system.state, digest, options)
    if known is None or staged is None or digest_of(staged) != digest:
        return known
    asked_again = staged.finalization_locked and not is_accepted(REPO, staged.checksum, image.image)
    return None if asked_again else known


def _report_unchanged(image: SignedImageReference) -> Outcome:
    return Outcome(lines=(f"No changes in: {image.image}",))


def _check(system: System, image: SignedImageReference, source: OpenedImage) -> Outcome:
    record = record_of(source)
    note_update(system, image, record)
    if not is_update(system.state, record.manifest_digest):
        return _report_unchanged(image)
    notice.announce_change()
    status = image_status(image, record)
    version: tuple[str, ...] = ()
    if status.version is not None:
        version = (f"  Version: {printable(status.version, limit=LONGEST_LABEL)}",)
    return Outcome(
        lines=(
            f"Update available for: {image.image}",
            *version,
            f"  Digest: {record.manifest_digest}",
            *_describe_layer_changes(system.booted, record),
        )
    )


def _fetch_update(
    system: System, image: SignedImageReference, source: OpenedImage, options: UpgradeOptions
) -> Adjust | tuple[Stage, ImageCommit]:
    """Decide by the image's digest, and import the image if it is to be staged."""
    record = record_of(source)
    decision = decide_upgrade(system.state, image, source.manifest_digest, options)
    note_update(system, image, record)
    if isinstance(decision, Stage):
        return decision, fetch(system, image, source)
    staged = system.state.staged
    newest = staged is not None and digest_of(staged) == record.manifest_digest
    if staged is not None and newest and staged.origin.image == image:
        note_accepted(REPO, staged.checksum, source)
    return decision


def _describe_layer_changes(booted: Deployment, update: ImageRecord) -> tuple[str, ...]:
    """Return what changes against the booted image's layers, if its manifest can be read."""
    if booted.image is None:
        return ()
    try:
        before = Manifest.parse(booted.image.manifest_text)
    except ImageContentError:
        return ()
    return render_layer_diff(layer_diff(before, Manifest.parse(update.manifest_text)))
