"""Staging an image that was imported: checks, kernel arguments, staging, clean-up, notices."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager

from bootcpy.model.base.listing import shown_few
from bootcpy.model.base.printable import LONGEST_LABEL, printable
from bootcpy.model.base.progress_events import StagingStep, staging_event
from bootcpy.model.boot.bootable import require_bootable_tree
from bootcpy.model.boot.kargs import kargs_after_upgrade, kargs_d, parse_kargs_d, without
from bootcpy.model.boot.owned_kargs import OwnedKargs, owned
from bootcpy.model.host.decisions import HELD_BACK, Stage, display
from bootcpy.model.host.deployments import ImageCommit, ImageRecord
from bootcpy.model.host.status import image_status
from bootcpy.model.image.bound import bound_images
from bootcpy.model.image.difference import format_decimal_size
from bootcpy.ostree.base.commit_tree import CommitTree
from bootcpy.ostree.base.space import require_space_for_kernel
from bootcpy.ostree.host import gc, staging
from bootcpy.ostree.host.sysroot import supports_composefs
from bootcpy.system.boot import boot_facts
from bootcpy.system.host import environment, notice, systemd
from bootcpy.verbs.boot.boot_check import note_staged
from bootcpy.verbs.host.change import REPO, Outcome, System, finish
from bootcpy.verbs.host.fetch import read_boot_space
from bootcpy.verbs.host.soft_reboot import require_no_obstacle


def stage_commit(system: System, stage: Stage, stored: ImageCommit) -> Outcome:
    """Stage the imported image `stored`, remove what is no longer needed, and say what is queued.

    Raises:
        ImageContentError: the commit cannot boot here.
        DeploymentError: changes in /etc cannot be merged into the image's.
        ConfigurationError: a kargs.d file is malformed.
        NoSpaceError: there is not enough space in /boot or for the deployment.
        DeploymentError: a soft reboot was required and is not possible.
    """
    commit, record = stored.commit, stored.record

    def tell(done: StagingStep | None) -> None:
        system.progress.stepped(staging_event(record.manifest_digest, done=done))

    tell(None)
    tree = CommitTree(REPO, commit)
    require_bootable_tree(boot_facts.read(tree), composefs_supported=supports_composefs())
    system.ostree.require_own_policy(commit)
    require_space_for_kernel(tree, read_boot_space(system))
    for note in (*system.ostree.require_mergeable_etc(commit), *_find_left_behind(system, tree)):
        system.progress.note(note)
    kargs = _adapt_kargs(system, tree)
    require_no_obstacle(system.ostree, stage, tree, kargs.kargs)
    tell(StagingStep.MERGING)
    with _discard_if_stopped():
        with system.progress.step("Deploying"):
            system.ostree.stage(commit, origin=stage.image, kargs=kargs, locked=stage.locked)
            note_staged()
        tell(StagingStep.DEPLOYING)
        tell(StagingStep.BOUND_IMAGES)
        pruned = clean_up()
        tell(StagingStep.CLEANUP)
        if stage.locked:
            notice.withdraw_reboot()
        else:
            notice.ask_for_reboot(f"image: {record.manifest_digest}")
    notice.announce_change()
    systemd.journal(
        f"Staged {stage.image} ({record.manifest_digest})",
        systemd.MESSAGE_STAGE,
        {
            "bootc.image.reference": str(stage.image.image),
            "bootc.manifest_digest": record.manifest_digest,
            "bootc.stateroot": system.booted.stateroot,
        },
    )
    return finish(stage, (*pruned, *_describe_queued(stage, record)))


@contextmanager
def _discard_if_stopped() -> Generator[None]:
    """Leave nothing staged when a signal ends the command; libostree itself stages to the end.

    What only fails after staging leaves the update staged, as with bootc.
    """
    try:
        yield
    except Exception:
        raise
    except BaseException:
        staging.discard_staged()
        note_staged()
        notice.withdraw_reboot()
        notice.announce_change()
        raise


def _find_left_behind(system: System, tree: CommitTree) -> Iterator[str]:
    """Yield what the user may expect to come along and does not."""
    if groups := system.booted.origin.layering:
        yield f"local rpm-ostree modifications ({shown_few(groups)}) are not kept"
    if names := bound_images(tree):
        yield f"the image binds other images ({shown_few(names)}), which are not fetched yet"


def _adapt_kargs(system: System, tree: CommitTree) -> OwnedKargs:
    """Return the new deployment's kernel arguments: those of the one it replaces, adapted.

    That is the staged one if there is one, so that what waits for the next boot is not lost.
    What changes is the images' kargs.d, less what a program owns. A kargs.d that the new
    image no longer has counts as an empty one: unlike with bootc, what it had added goes.
    """
    machine = environment.machine()
    replaced = system.state.staged or system.booted
    current = system.ostree.read_owned_kargs(replaced)
    old = parse_kargs_d(kargs_d(CommitTree(REPO, replaced.checksum)), machine)
    new = parse_kargs_d(kargs_d(tree), machine)
    kargs = kargs_after_upgrade(current.kargs, without(old, owned(current.sources)), new)
    return OwnedKargs(kargs=kargs, sources=current.sources)


def clean_up() -> tuple[str, ...]:
    """Remove what no deployment needs, and return the line that says how much.

    Raises:
        BootcpyError: libostree fails.
    """
    pruned = gc.clean_up()
    if not pruned.images and not pruned.layers:
        return ()
    size = format_decimal_size(pruned.object_bytes)
    return (f"Pruned images: {pruned.images} (layers: {pruned.layers}, objsize: {size})",)


def _describe_queued(stage: Stage, record: ImageRecord) -> tuple[str, ...]:
    status = image_status(stage.image, record)
    version: tuple[str, ...] = ()
    if status.version is not None:
        version = (f"  Version: {printable(status.version, limit=LONGEST_LABEL)}",)
    first = HELD_BACK if stage.locked else f"Queued for next boot: {display(stage.image)}"
    return (first, *version, f"  Digest: {record.manifest_digest}")
