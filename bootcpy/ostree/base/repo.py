"""The ostree repository: opening it, its transactions, its refs."""

import fcntl
import logging
import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from bootcpy.errors import BootcpyError, NoSpaceError
from bootcpy.model.base.io_errors import hint_for
from bootcpy.ostree.base.bindings import Gio, GLib, OSTree
from bootcpy.system.process import locks
from bootcpy.system.process.libc import syncfs

log = logging.getLogger(__name__)

BLOB_REFS = "ostree/container/blob"
_LIBOSTREE_HINT = "see what `ostree fsck` and the kernel's messages (`dmesg`) say"
IMAGE_REFS = "ostree/container/image"
BASEIMAGE_REFS = "ostree/container/baseimage"
_LOCK_PATIENCE_S = 300.0


def open_repo(path: Path) -> OSTree.Repo:
    """Open the repository at `path`.

    Raises:
        BootcpyError: there is none.
    """
    repo = OSTree.Repo.new(Gio.File.new_for_path(str(path)))
    with explained(f"the ostree repository {path} cannot be opened"):
        repo.open(None)
    return repo


def file_object(repo_path: Path, checksum: str) -> Path:
    """Return where a bare repository keeps a file: the file itself, or the symbolic link.

    Nothing may be written there.
    """
    return repo_path / f"objects/{checksum[:2]}/{checksum[2:]}.file"


def file_objects(repo_path: Path) -> Iterator[Path]:
    """Yield all that `file_object` may return, in any order."""
    return repo_path.glob("objects/??/*.file")


@contextmanager
def explained(what: str, *, hint: str = _LIBOSTREE_HINT) -> Generator[None]:
    """Turn libostree's errors into ours, beginning with `what`, and with `hint` if space is enough.

    Raises:
        NoSpaceError: the file system is full, or would be below its reserve.
        BootcpyError: anything else that libostree reports.
    """
    try:
        yield
    except GLib.Error as e:
        message = f"{what}: {e.message}"
        if "No space left" in e.message or "min-free-space" in e.message:
            raise NoSpaceError(message, hint="free some space, or use a larger disk") from e
        raise BootcpyError(message, hint=hint_for(message) or hint) from e


@contextmanager
def transaction(repo: OSTree.Repo) -> Generator[None]:
    """Hold a transaction that is committed at the end, or aborted by an exception.

    Children that are forked within it, and end before it does, may write to `repo` too.
    All that was written is durable when this returns, unless `repo` was told not to sync.
    """
    with _one_at_a_time(repo):
        wait_for_lock(repo)
        repo.prepare_transaction(None)
    try:
        yield
        if not repo.get_disable_fsync():
            syncfs(repo.get_dfd())
        with _one_at_a_time(repo):
            _move_objects(repo)
    except BaseException:
        _abort(repo)
        raise


@contextmanager
def scratch(repo: OSTree.Repo) -> Generator[None]:
    """Hold a transaction of which nothing is kept."""
    with _one_at_a_time(repo):
        wait_for_lock(repo)
        repo.prepare_transaction(None)
    try:
        yield
    finally:
        _abort(repo)


def _abort(repo: OSTree.Repo) -> None:
    """Give up a transaction; where that fails too, what was raised before is why."""
    try:
        with _one_at_a_time(repo):
            repo.abort_transaction(None)
            _remove_staged(repo)  # at once: another transaction would take them for its own
    except (GLib.Error, OSError) as e:
        log.debug("cannot abort the transaction: %s", e)


def _move_objects(repo: OSTree.Repo) -> None:
    """Commit the transaction, whose objects are on disk already, and make that durable.

    libostree would sync each of up to 256 directories that it moves objects to; the file
    system as a whole is done much sooner.
    """
    if repo.get_disable_fsync():
        repo.commit_transaction(None)
        return
    repo.set_disable_fsync(True)
    try:
        repo.commit_transaction(None)
    finally:
        repo.set_disable_fsync(False)
    syncfs(repo.get_dfd())


@contextmanager
def _one_at_a_time(repo: OSTree.Repo) -> Generator[None]:
    """Keep our processes from beginning or ending transactions while another does.

    libostree then looks through the staging directories of all transactions, and fails
    when one of them ends, and its directory goes, under its eyes.
    """
    fd = os.open("tmp", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=repo.get_dfd())

    def take() -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    try:
        locks.wait_for("the lock of transactions", _path(repo) / "tmp", take, most_s=None)
        yield
    finally:
        os.close(fd)


def wait_for_lock(repo: OSTree.Repo, *, alone: bool = False) -> None:
    """Wait until libostree gets its lock of `repo` at once, to write, or `alone` to prune.

    It waits itself, for as long as the repository's configuration says, but does not say for
    whom, and no signal ends that.
    """
    path = _path(repo) / ".lock"
    locks.wait_for(
        "the lock of the repository",
        path,
        lambda: not locks.is_locked(path, for_reading=not alone),
        most_s=_LOCK_PATIENCE_S,
    )


def _path(repo: OSTree.Repo) -> Path:
    return Path(f"/proc/self/fd/{repo.get_dfd()}")


def drop_staged(repo: OSTree.Repo) -> None:
    """Remove the objects of transactions that failed, unless somebody still works on them.

    libostree keeps them for the next transaction, also when it was they that took all space.
    """
    with _one_at_a_time(repo):
        _remove_staged(repo)


def _remove_staged(repo: OSTree.Repo) -> None:
    for directory in (_path(repo) / "tmp").glob("staging-*"):
        if directory.is_dir():
            with _lock_tried(Path(f"{directory}-lock")) as is_ours:
                if is_ours:
                    shutil.rmtree(directory)


@contextmanager
def _lock_tried(path: Path) -> Generator[bool]:
    """Hold the lock of a transaction's directory, and tell whether it could be had.

    Whoever begins a transaction takes up such a directory if its lock is free, so that it has to
    be held until nothing is left of the directory.
    """
    with path.open("a+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
        path.unlink(missing_ok=True)


def resolve(repo: OSTree.Repo, ref: str) -> str | None:
    """Return the commit that `ref` names, None if there is no such ref.

    Only the repository's own refs count: not those of a remote that has a fitting name.
    """
    flags = OSTree.RepoResolveRevExtFlags.LOCAL_ONLY
    with explained(f"cannot read the ref {ref}"):
        _, commit = repo.resolve_rev_ext(ref, True, flags)  # noqa: FBT003 - libostree's signature
    return commit


def list_refs(repo: OSTree.Repo, prefix: str) -> dict[str, str]:
    """Return the refs below `prefix`, by full name, with the commits they name."""
    with explained(f"cannot read the refs below {prefix}"):
        _, refs = repo.list_refs_ext(prefix, OSTree.RepoListRefsExtFlags.NONE, None)
    return dict(refs)


def set_ref(repo: OSTree.Repo, ref: str, commit: str | None) -> None:
    """Point `ref` at `commit`, durably; None removes it."""
    with explained(f"cannot write the ref {ref}"):
        repo.set_ref_immediate(None, ref, commit, None)
