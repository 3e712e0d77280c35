"""Files below a root that others filled: an unpacked image, a deployment, a repository.

A symbolic link is read as it would be with that root as `/`; none leads out of it. What is
written goes through no link at all. Only regular files are opened, and no more of one is read
than its reader can use: a pipe would never answer, and an image decides about sizes.

Paths are relative to the root; a leading `/` means the same. Everything raises OSError, which
names the whole path; its words fit behind "cannot read" and the like.
"""

import errno
import os
import stat
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from enum import Enum, auto
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NoReturn, Self

from bootcpy.model.base.size import format_size
from bootcpy.system.process.libc import openat2

# What stands in the way of a path, as opposed to a disk that fails.
IN_THE_WAY = frozenset({errno.ELOOP, errno.EXDEV, errno.ENOTDIR, errno.EISDIR, errno.EEXIST})

_NO_MAGIC_LINKS, _NO_SYMLINKS, _BENEATH, _IN_ROOT = 0x02, 0x04, 0x08, 0x10  # linux/openat2.h
_RACES = 32  # EAGAIN: something was renamed while a `..` was passed
_MOST_LINKS = 40  # as the kernel
_ANY = os.O_PATH | os.O_CLOEXEC


class Links(Enum):
    """What to do about symbolic links on the way."""

    INSIDE = auto()  # follow them, with the root as `/`
    NOT_LAST = auto()  # the same, but the last one is what was asked for
    REFUSE = auto()


def open_in_kernel(root_fd: int, path: str, links: Links) -> int:
    """Return a descriptor (O_PATH) of what `path` is below `root_fd`: openat2(2).

    Raises:
        OSError: ENOSYS before Linux 5.6, EPERM in a container that forbids it; or as open(2).
    """
    resolve = _NO_MAGIC_LINKS | (_BENEATH | _NO_SYMLINKS if links is Links.REFUSE else _IN_ROOT)
    flags = _ANY | (os.O_NOFOLLOW if links is Links.NOT_LAST else 0)
    for _ in range(_RACES):
        with suppress(BlockingIOError):
            return openat2(root_fd, path, flags=flags, resolve=resolve)
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def open_by_steps(root_fd: int, path: str, links: Links) -> int:
    """Return what `open_in_kernel` does, opening one component after the other.

    Raises:
        OSError: as `open_in_kernel`.
    """
    ahead = path.split("/")[::-1]
    followed = 0
    with _Trail(root_fd) as trail:
        while ahead:
            name = ahead.pop()
            if name in {"", "."}:
                continue
            if name == "..":
                if not trail.leave() and links is Links.REFUSE:
                    _fail(errno.EXDEV)
                continue
            target = trail.enter(name)
            if target is None or (links is Links.NOT_LAST and not any(ahead)):
                continue
            followed += 1
            if links is Links.REFUSE or followed > _MOST_LINKS:
                _fail(errno.ELOOP)
            trail.leave()
            if target.startswith("/"):
                trail.leave_all()
            ahead += target.split("/")[::-1]
        return trail.end()


class _Trail:
    """The descriptors of a directory and of those above it, up to the root."""

    def __init__(self, root_fd: int) -> None:
        self._fds = [os.dup(root_fd)]

    def enter(self, name: str) -> str | None:
        """Go on to `name` in the last one; return where it points if it is a link."""
        fd = os.open(name, _ANY | os.O_NOFOLLOW, dir_fd=self._fds[-1])
        self._fds.append(fd)
        return os.readlink("", dir_fd=fd) if stat.S_ISLNK(os.fstat(fd).st_mode) else None

    def leave(self) -> bool:
        """Go back by one; return False at the root, which is not left."""
        if len(self._fds) == 1:
            return False
        os.close(self._fds.pop())
        return True

    def leave_all(self) -> None:
        """Go back to the root."""
        while self.leave():
            pass

    def end(self) -> int:
        """Return the last one, which is the caller's now."""
        return self._fds.pop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._fds:
            os.close(fd)


def _open(root_fd: int, path: str, links: Links) -> int:
    try:
        return open_in_kernel(root_fd, path, links)
    except OSError as e:
        if e.errno not in {errno.ENOSYS, errno.EPERM, errno.EAGAIN}:
            raise
    return open_by_steps(root_fd, path, links)


def _fail(number: int, why: str | None = None) -> NoReturn:
    raise OSError(number, why or os.strerror(number))


@contextmanager
def _named(root: Path, path: str | Path) -> Generator[None]:
    """Let an error name the whole path, not a component of it."""
    try:
        yield
    except OSError as e:
        raise OSError(e.errno, e.strerror, str(root / str(path).lstrip("/"))) from e


@contextmanager
def opened(root: Path, path: str | Path, links: Links = Links.INSIDE) -> Generator[int]:
    """Yield a descriptor (O_PATH) of what `path` is below `root`, whatever it is.

    Raises:
        OSError: there is no such thing, or a link leads to nothing or in circles.
    """
    with _named(root, path), ExitStack() as stack:
        root_fd = os.open(root, _ANY | os.O_DIRECTORY)
        stack.callback(os.close, root_fd)
        fd = _open(root_fd, str(path).lstrip("/") or ".", links)
        stack.callback(os.close, fd)
        yield fd


def open_file(root: Path, path: str | Path) -> BinaryIO:
    """Open the regular file `path` for reading.

    Raises:
        OSError: it is not there, or is something else.
    """
    with opened(root, path) as fd:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            _fail(errno.EISDIR)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            _fail(errno.EINVAL, "it is not a regular file")
        # The very file that was looked at; a name could be another one by now.
        return open(f"/proc/self/fd/{fd}", "rb")  # noqa: PTH123 - a descriptor


def read_bytes(root: Path, path: str | Path, *, limit_bytes: int) -> bytes:
    """Return the content of the regular file `path`.

    Raises:
        OSError: it is not there, is something else, or is larger than `limit_bytes`.
    """
    with open_file(root, path) as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        with _named(root, path):
            _fail(errno.EFBIG, f"it is larger than {format_size(limit_bytes)}")
    return content


def read_text(root: Path, path: str | Path, *, limit_bytes: int, errors: str = "strict") -> str:
    """Return the text of the regular file `path`.

    Raises:
        OSError: as `read_bytes`.
        UnicodeDecodeError: it is not UTF-8, unless `errors` says what then.
    """
    return read_bytes(root, path, limit_bytes=limit_bytes).decode(errors=errors)


def names(root: Path, path: str | Path, *, limit: int) -> tuple[str, ...]:
    """Return what is in the directory `path`, sorted; nothing if there is no such directory.

    Raises:
        OSError: it cannot be read, or holds more than `limit` things.
    """
    if not is_directory(root, path):
        return ()
    with opened(root, path) as fd, _readable(fd) as readable, os.scandir(readable) as entries:
        found = sorted(entry.name for entry in islice(entries, limit + 1))
        if len(found) > limit:
            _fail(errno.EFBIG, f"it has more than {limit:,} entries")
        return tuple(found)


@contextmanager
def _readable(directory: int) -> Generator[int]:
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        yield fd
    finally:
        os.close(fd)


def exists(root: Path, path: str | Path) -> bool:
    """Tell whether there is anything at `path`, or where it links to inside."""
    return _is(root, path, lambda _: True, Links.INSIDE)


def is_file(root: Path, path: str | Path) -> bool:
    """Tell whether `path` is a regular file, or links to one inside."""
    return _is(root, path, stat.S_ISREG, Links.INSIDE)


def is_directory(root: Path, path: str | Path) -> bool:
    """Tell whether `path` is a directory, or links to one inside."""
    return _is(root, path, stat.S_ISDIR, Links.INSIDE)


def _is(root: Path, path: str | Path, kind: Callable[[int], bool], links: Links) -> bool:
    try:
        with opened(root, path, links) as fd:
            return kind(os.fstat(fd).st_mode)
    except OSError:
        return False


def link_target(root: Path, path: str | Path) -> str | None:
    """Return where the symbolic link `path` points; None if it is no link, or not there."""
    if not _is(root, path, stat.S_ISLNK, Links.NOT_LAST):
        return None
    with opened(root, path, Links.NOT_LAST) as fd:
        return os.readlink("", dir_fd=fd)


def make_directory(root: Path, path: str | Path, *, mode: int = 0o755) -> None:
    """Make the directory `path` in an existing one, unless there is one.

    Raises:
        OSError: something else is there, or a link is on the way.
    """
    whole = root / path
    with _named(root, path), opened(root, Path(path).parent, Links.REFUSE) as parent:
        try:
            os.mkdir(whole.name, dir_fd=parent)
            os.chmod(whole.name, mode, dir_fd=parent)
        except FileExistsError:
            found = os.stat(whole.name, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                _fail(errno.ELOOP, "it is a symbolic link")
            if not stat.S_ISDIR(found.st_mode):
                _fail(errno.ENOTDIR)


def make_directories(root: Path, path: str | Path) -> None:
    """Make the directory `path` and those above it, as far as they are missing.

    Raises:
        OSError: as `make_directory`.
    """
    for directory in (*reversed(Path(path).parents), Path(path)):
        if directory != Path():
            make_directory(root, directory)


def make_link(root: Path, path: str | Path, target: str) -> None:
    """Make `path`, which must not be there, a symbolic link to `target`, wherever that is.

    Raises:
        OSError: something is there, or a link is on the way.
    """
    with _named(root, path), opened(root, Path(path).parent, Links.REFUSE) as parent:
        os.symlink(target, Path(path).name, dir_fd=parent)


def write_text(root: Path, path: str | Path, text: str, *, mode: int = 0o644) -> None:
    """Write `path` anew, or in place of what is there, which stays until the new file is durable.

    Raises:
        OSError: the directory cannot be written to, or a link is on the way to it.
    """
    name, temporary = Path(path).name, f".bootc-{os.urandom(8).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with ExitStack() as stack:
        stack.enter_context(_named(root, path))
        parent = stack.enter_context(opened(root, Path(path).parent, Links.REFUSE))
        directory = stack.enter_context(_readable(parent))
        fd = os.open(temporary, flags, 0o600, dir_fd=directory)
        try:
            with open(fd, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
                file.write(text)
                file.flush()
                os.fchmod(fd, mode)
                os.fsync(fd)
            os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            os.unlink(temporary, dir_fd=directory)
            raise
        os.fsync(directory)
