"""One way to look into an image, wherever its files are.

Each question about an image is asked once, as a function over an `ImageTree`; a directory and
a commit are two of them. What limits there are to what an image brings is the question's.
"""

import errno
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol

from bootcpy.errors import ImageContentError
from bootcpy.model.base.io_errors import DISK_ERRNOS
from bootcpy.model.base.size import LARGEST_CONFIGURATION_BYTES, MOST_DROP_INS, format_size


class FileKind(StrEnum):
    """What is at a path of an image."""

    FILE = "file"
    DIRECTORY = "directory"
    OTHER = "other"  # also a link, where links are not followed


class ImageTree(Protocol):
    """The files of an image; paths are relative to its root, and nothing leads out of it.

    A directory follows links, with itself as `/`; a commit follows none.
    """

    @property
    def etc(self) -> tuple[Path, ...]:
        """Where the image's /etc may be; the first that has a file wins."""

    def kind(self, path: Path) -> FileKind | None:
        """Return what `path` is; None if nothing is there."""

    def names(self, directory: Path, *, limit: int) -> tuple[str, ...]:
        """Return what the directory holds, sorted; nothing if there is no such directory.

        Raises:
            OSError: it cannot be read, or holds more than `limit` things.
        """

    def open_file(self, path: Path) -> BinaryIO:
        """Open the regular file `path` for reading.

        Raises:
            OSError: it is not there, or is something else.
        """

    def link_target(self, path: Path) -> str | None:
        """Return where the symbolic link `path` points; None if it is no link, or not there."""


def content(tree: ImageTree, path: Path, *, limit_bytes: int) -> bytes:
    """Return the content of the regular file `path`.

    Raises:
        OSError: it is not there, is something else, or is larger than `limit_bytes`.
    """
    with tree.open_file(path) as file:
        found = file.read(limit_bytes + 1)
    if len(found) > limit_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {format_size(limit_bytes)}", f"/{path}")
    return found


@contextmanager
def opened_file(tree: ImageTree, path: Path) -> Generator[BinaryIO]:
    """Open a file that the image has.

    Raises:
        ImageContentError: it cannot be opened, as when a repository has lost its content.
        OSError: the disk is to blame.
    """
    try:
        file = tree.open_file(path)
    except OSError as e:
        if e.errno in DISK_ERRNOS:
            raise
        raise ImageContentError(f"cannot read /{path} of the image: {e.strerror}") from e
    with file:
        yield file


def configuration(tree: ImageTree, path: Path) -> bytes | None:
    """Return the content of the configuration file `path`, if it is a regular file.

    Raises:
        ImageContentError: it cannot be read, or is larger than a configuration file may be.
    """
    if tree.kind(path) is not FileKind.FILE:
        return None
    try:
        return content(tree, path, limit_bytes=LARGEST_CONFIGURATION_BYTES)
    except OSError as e:
        raise ImageContentError(f"cannot read /{path} of the image: {e.strerror}") from e


def names(tree: ImageTree, directory: Path, *, limit: int = MOST_DROP_INS) -> tuple[str, ...]:
    """Return what the directory holds, sorted; nothing if there is no such directory.

    Raises:
        ImageContentError: it cannot be read, or holds more than `limit` things.
    """
    try:
        return tree.names(directory, limit=limit)
    except OSError as e:
        raise ImageContentError(f"cannot read /{directory} of the image: {e.strerror}") from e
