"""The files of a commit in a bare repository, read without checking it out."""

import errno
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from bootcpy.model.image.tree import FileKind
from bootcpy.ostree.base.bindings import Gio, OSTree
from bootcpy.ostree.base.repo import explained, file_object, open_repo
from bootcpy.system.files import below

_TARGET = "standard::symlink-target"
_NAME_AND_TYPE = "standard::name,standard::type"
_NOFOLLOW = Gio.FileQueryInfoFlags.NOFOLLOW_SYMLINKS
_KINDS = {
    Gio.FileType.UNKNOWN: None,  # nothing is there
    Gio.FileType.REGULAR: FileKind.FILE,
    Gio.FileType.DIRECTORY: FileKind.DIRECTORY,
}


class CommitTree:
    """A commit's tree, an `ImageTree`; symbolic links are not followed."""

    etc = (Path("usr/etc"),)

    def __init__(self, repo_path: Path, commit: str) -> None:
        """Open the commit `commit` of the bare repository at `repo_path`.

        Raises:
            BootcpyError: there is no such repository or commit.
        """
        self._repo_path = repo_path
        with explained(f"commit {commit} cannot be read"):
            _, self._root, _ = open_repo(repo_path).read_commit(commit, None)

    def kind(self, path: Path) -> FileKind | None:
        """Return what `path` is; a link is OTHER."""
        return _KINDS.get(_type(self._at(path)), FileKind.OTHER)

    def names(self, directory: Path, *, limit: int) -> tuple[str, ...]:
        """Return what the directory holds, sorted; nothing if there is no such directory.

        Raises:
            OSError: it holds more than `limit` things.
            BootcpyError: libostree cannot read it.
        """
        file = self._at(directory)
        if _type(file) != Gio.FileType.DIRECTORY:
            return ()
        with explained(f"the directory /{directory} of the commit cannot be read"):
            found = file.enumerate_children(_NAME_AND_TYPE, _NOFOLLOW, None)
            names = sorted(info.get_name() for info in islice(found, limit + 1))
        if len(names) > limit:
            raise OSError(errno.EFBIG, f"it has more than {limit:,} entries", f"/{directory}")
        return tuple(names)

    def open_file(self, path: Path) -> BinaryIO:
        """Open the regular file `path` for reading: what the repository keeps of it.

        Raises:
            OSError: it is something else, or the repository lacks its content.
        """
        file = self._at(path)
        if _type(file) != Gio.FileType.REGULAR:
            raise OSError(errno.EINVAL, "it is not a regular file", f"/{path}")
        assert isinstance(file, OSTree.RepoFile)  # noqa: S101 - a commit's children always are
        content = file_object(self._repo_path, file.get_checksum())
        return below.open_file(content.parent, content.name)

    def link_target(self, path: Path) -> str | None:
        """Return where the symbolic link `path` points; None if it is no link, or not there."""
        file = self._at(path)
        if _type(file) != Gio.FileType.SYMBOLIC_LINK:
            return None
        return file.query_info(_TARGET, _NOFOLLOW, None).get_symlink_target()

    def _at(self, path: Path) -> Gio.File:
        return self._root.resolve_relative_path(str(path))


def _type(file: Gio.File) -> Gio.FileType:
    return file.query_file_type(_NOFOLLOW, None)
