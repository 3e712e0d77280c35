"""An unpacked image, or a deployment, as an `ImageTree`."""

from pathlib import Path
from typing import BinaryIO

from bootcpy.model.image.tree import FileKind
from bootcpy.system.files import below


class DirectoryTree:
    """What is below a directory; links are read as they would be with it as `/`."""

    etc = (Path("etc"), Path("usr/etc"))

    def __init__(self, root: Path) -> None:
        """Look below `root`; `/` is the image inside a container of it."""
        self._root = root

    def kind(self, path: Path) -> FileKind | None:
        """Return what `path` is, or what it links to inside."""
        if below.is_file(self._root, path):
            return FileKind.FILE
        if below.is_directory(self._root, path):
            return FileKind.DIRECTORY
        return FileKind.OTHER if below.exists(self._root, path) else None

    def names(self, directory: Path, *, limit: int) -> tuple[str, ...]:
        """Return what the directory holds, sorted; nothing if there is no such directory.

        Raises:
            OSError: it cannot be read, or holds more than `limit` things.
        """
        return below.names(self._root, directory, limit=limit)

    def open_file(self, path: Path) -> BinaryIO:
        """Open the regular file `path` for reading.

        Raises:
            OSError: it is not there, or is something else.
        """
        return below.open_file(self._root, path)

    def link_target(self, path: Path) -> str | None:
        """Return where the symbolic link `path` points; None if it is no link, or not there."""
        return below.link_target(self._root, path)
