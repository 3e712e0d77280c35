"""An image in memory: the least that can be looked into."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from bootcpy.model.image.tree import FileKind


@dataclass(frozen=True)
class Link:
    """A symbolic link, which is not followed."""

    target: str


@dataclass(frozen=True)
class TreeInMemory:
    """Files by path, as in a commit; directories are there because of what is in them."""

    files: Mapping[str, bytes | Link]
    etc: tuple[Path, ...] = (Path("usr/etc"),)

    def kind(self, path: Path) -> FileKind | None:
        found = self.files.get(str(path))
        if found is None:
            return FileKind.DIRECTORY if self._below(path) else None
        return FileKind.OTHER if isinstance(found, Link) else FileKind.FILE

    def names(self, directory: Path, *, limit: int) -> tuple[str, ...]:
        found = self._below(directory)
        if len(found) > limit:
            raise OSError(7, "too many")
        return tuple(sorted(found))

    def _below(self, directory: Path) -> set[str]:
        inside = (Path(path) for path in self.files if Path(path).is_relative_to(directory))
        return {path.relative_to(directory).parts[0] for path in inside if path != directory}

    def open_file(self, path: Path) -> BinaryIO:
        content = self.files[str(path)]
        assert isinstance(content, bytes)
        return BytesIO(content)

    def link_target(self, path: Path) -> str | None:
        found = self.files.get(str(path))
        return found.target if isinstance(found, Link) else None
