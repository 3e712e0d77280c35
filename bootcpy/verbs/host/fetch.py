"""Fetching an image for the booted system: opening it, importing it, noting that it was seen."""

import time
from collections.abc import Callable
from typing import TypeVar

from bootcpy.errors import ImageUnavailableError, NoSpaceError, StalledError
from bootcpy.model.base.progress import Progress
from bootcpy.model.boot.bootable import require_bootable
from bootcpy.model.boot.kernels import kernel_versions
from bootcpy.model.host.deployments import ImageCommit, ImageRecord
from bootcpy.model.host.space import BootSpace, Download, foresee_boot_space
from bootcpy.model.image.failures import is_transient
from bootcpy.model.image.oci import LABEL_KERNEL
from bootcpy.model.image.reference import SignedImageReference
from bootcpy.ostree.base.commit_tree import CommitTree
from bootcpy.ostree.image import importer
from bootcpy.system.host import environment
from bootcpy.system.image.skopeo import OpenedImage, opened
from bootcpy.verbs.base.acceptance import note_accepted
from bootcpy.verbs.host.change import REPO, System

_ATTEMPTS = 4
_ATTEMPTS_STALLED = 2  # each has taken long already, and the lock is held
_FIRST_PAUSE_S = 1.0

_Result = TypeVar("_Result")


def with_image(
    image: SignedImageReference, progress: Progress, use: Callable[[OpenedImage], _Result]
) -> _Result:
    """Open `image` and return what `use` makes of it; try again when the network fails.

    `use` must be able to start over: layers that were complete are found again.

    Raises:
        ImageUnavailableError: it failed for good, or too often.
    """
    pause_s = _FIRST_PAUSE_S
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with opened(image.image, signature=image.signature) as source:
                return use(source)
        except ImageUnavailableError as e:
            if attempt >= _count_attempts(e):
                raise
            progress.note(f"{e.message}; trying again in {pause_s:g} s")
        time.sleep(pause_s)
        pause_s *= 2
    raise AssertionError  # the loop returns or raises


def _count_attempts(error: ImageUnavailableError) -> int:
    """Return how often to try where this comes in between."""
    if isinstance(error, StalledError):
        return _ATTEMPTS_STALLED
    return _ATTEMPTS if is_transient(error.message) else 1


def with_bootable_image(
    image: SignedImageReference, progress: Progress, use: Callable[[OpenedImage], _Result]
) -> _Result:
    """Do as `with_image`, but refuse an image by its configuration before any layer is fetched.

    Raises:
        ImageContentError: no bootable image, or one for another architecture.
        ImageUnavailableError: it failed for good, or too often.
    """

    def checked(source: OpenedImage) -> _Result:
        require_bootable(source.config, machine=environment.machine(), name=str(source.reference))
        return use(source)

    return with_image(image, progress, checked)


def record_of(source: OpenedImage) -> ImageRecord:
    """Return what a commit would say of the opened image."""
    return ImageRecord(
        manifest_digest=source.manifest_digest,
        manifest_text=source.manifest_text,
        config_text=source.config_text,
    )


def note_update(system: System, image: SignedImageReference, update: ImageRecord) -> None:
    """Note on every deployment that follows `image` what the newest of it is.

    A deployment that is the newest itself gets the note only in place of an older one.
    """
    for deployment in system.state.deployments:
        record, cached = deployment.image, deployment.cached_update
        follows = deployment.origin.image is not None and deployment.origin.image == image
        known = (cached or record) if record is not None else None
        if follows and known is not None and known.manifest_digest != update.manifest_digest:
            try:
                system.ostree.record_cached_update(deployment, update)
            except NoSpaceError as e:  # not worth failing: what needs the space will say so
                system.progress.note(e.message)


def fetch(system: System, image: SignedImageReference, source: OpenedImage) -> ImageCommit:
    """Import `source`, which is `image` opened, and note what policy accepted it.

    Raises:
        NoSpaceError: it does not fit; what is sure not to is not fetched.
    """

    def foresee_boot(download: Download) -> None:
        warning = foresee_boot_space(
            download, read_boot_space(system), other_kernel=_has_other_kernel(system, source)
        )
        if warning:
            system.progress.note(warning)

    commit = importer.pull(
        REPO,
        source,
        record_as=image.image,
        progress=system.progress,
        signature=image.signature,
        before_fetch=foresee_boot,
    )
    note_accepted(REPO, commit, source)
    return ImageCommit(commit=commit, record=record_of(source))


def read_boot_space(system: System) -> BootSpace:
    """Return the space for the kernel of a deployment that is to be the next to boot."""
    return system.ostree.read_boot_space([
        each
        for each in system.state.deployments
        if each.booted or each.pinned or each.stateroot != system.booted.stateroot
    ])


def _has_other_kernel(system: System, source: OpenedImage) -> bool | None:
    """Tell by its label whether the image has another kernel than what runs."""
    version = source.config.labels.get(LABEL_KERNEL)
    if version is None:
        return None
    return version not in kernel_versions(CommitTree(REPO, system.booted.checksum))
