"""Reading an /etc from disk, to compare it."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from bootcpy.model.host.etc_merge import EtcKind, Node


def read_etc(root: Path) -> dict[str, Node]:
    """Return what is below the directory `root`, by path relative to it.

    A file that vanishes meanwhile is left out.
    """
    found: dict[str, Node] = {}
    for path in _walk(root):
        try:
            found[str(path.relative_to(root))] = _node(path)
        except FileNotFoundError:
            continue
    return found


def _walk(directory: Path) -> Iterator[Path]:
    with os.scandir(directory) as entries:
        for entry in entries:
            yield Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))


def _node(path: Path) -> Node:
    status = path.lstat()
    kind, content = EtcKind.SPECIAL, ""
    if stat.S_ISDIR(status.st_mode):
        kind = EtcKind.DIRECTORY
    elif stat.S_ISLNK(status.st_mode):
        kind, content = EtcKind.LINK, str(path.readlink())
    elif stat.S_ISREG(status.st_mode):
        # A pipe that took its place meanwhile would be waited for.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor
            kind, content = EtcKind.FILE, hashlib.file_digest(file, "sha256").hexdigest()
    return Node(
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        content=content,
    )
