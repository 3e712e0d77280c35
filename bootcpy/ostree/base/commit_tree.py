"""The files of a commit in a bare repository, read without checking it out."""

import hashlib
import os
from itertools import islice
from pathlib import Path

from bootcpy import paths
from bootcpy.errors import ImageContentError
from bootcpy.model.base.size import LARGEST_CONFIGURATION_BYTES, MOST_DROP_INS
from bootcpy.model.boot.bootable import MOST_MODULES_DIRECTORIES, BootFacts
from bootcpy.ostree.base.bindings import Gio, OSTree
from bootcpy.ostree.base.repo import explained, file_object, open_repo
from bootcpy.system.boot import boot_facts
from bootcpy.system.files import below

_TARGET = "standard::symlink-target"
_MOST_LINKS = 8  # one behind the other
_READ_BYTES = 1 << 20
_NAME_AND_TYPE = "standard::name,standard::type"


class CommitTree:
    """A commit's tree; paths are relative to its root, symbolic links are not followed."""

    def __init__(self, repo_path: Path, commit: str) -> None:
        """Open the commit `commit` of the bare repository at `repo_path`.

        Raises:
            BootcpyError: there is no such repository or commit.
        """
        self._repo_path = repo_path
        with explained(f"commit {commit} cannot be read"):
            _, self._root, _ = open_repo(repo_path).read_commit(commit, None)

    def is_directory(self, path: Path) -> bool:
        """Tell whether `path` is a directory."""
        file = self._root.resolve_relative_path(str(path))
        kind = file.query_file_type(Gio.FileQueryInfoFlags.NOFOLLOW_SYMLINKS, None)
        return bool(kind == Gio.FileType.DIRECTORY)

    def names(self, directory: Path, *, limit: int = MOST_DROP_INS) -> tuple[str, ...]:
        """Return what the directory holds, sorted; nothing if there is no such directory.

        Raises:
            ImageContentError: it holds more than `limit` things.
        """
        file = self._root.resolve_relative_path(str(directory))
        if file.query_file_type(Gio.FileQueryInfoFlags.NOFOLLOW_SYMLINKS, None) != (
            Gio.FileType.DIRECTORY
        ):
            return ()
        with explained(f"the directory /{directory} of the commit cannot be read"):
            found = file.enumerate_children(
                _NAME_AND_TYPE, Gio.FileQueryInfoFlags.NOFOLLOW_SYMLINKS, None
            )
            names = sorted(info.get_name() for info in islice(found, limit + 1))
        if len(names) > limit:
            raise ImageContentError(f"/{directory} of the image has more than {limit:,} entries")
        return tuple(names)

    def content(self, path: Path) -> Path | None:
        """Return where the repository keeps the content of the regular file `path`, if it is one.

        Nothing may be written there.
        """
        file = self._root.resolve_relative_path(str(path))
        if file.query_file_type(Gio.FileQueryInfoFlags.NOFOLLOW_SYMLINKS, None) != (
            Gio.FileType.REGULAR
        ):
            return None
        assert isinstance(file, OSTree.RepoFile)  # noqa: S101 - a commit's children always are
        return file_object(self._repo_path, file.get_checksum())

    def read(self, path: Path) -> bytes | None:
        """Return the content of the configuration file `path`, if it is a regular file.

        Raises:
            ImageContentError: it is larger than a configuration file may be.
        """
        content = self.content(path)
        if content is None:
            return None
        try:
            return below.read_bytes(
                content.parent, content.name, limit_bytes=LARGEST_CONFIGURATION_BYTES
            )
        except OSError as e:
            raise ImageContentError(f"cannot read /{path} of the image: {e.strerror}") from e

    def read_text(self, path: Path) -> str | None:
        """Return the text of the configuration file `path`, whatever bytes it holds.

        Raises:
            ImageContentError: as `read`.
        """
        content = self.read(path)
        return None if content is None else content.decode(errors="replace")

    def followed(self, path: Path) -> Path:
        """Return where `path` leads if it is a link, as long as that is within the tree."""
        for _ in range(_MOST_LINKS):
            file = self._root.resolve_relative_path(str(path))
            if file.query_file_type(Gio.FileQueryInfoFlags.NOFOLLOW_SYMLINKS, None) != (
                Gio.FileType.SYMBOLIC_LINK
            ):
                break
            info = file.query_info(_TARGET, Gio.FileQueryInfoFlags.NOFOLLOW_SYMLINKS, None)
            target = os.path.normpath(path.parent / (info.get_symlink_target() or "/"))
            if target.startswith(("/", "..")):
                break  # where libostree follows it, that is the booted system's own
            path = Path(target)
        return path


def boot_facts_of(tree: CommitTree) -> BootFacts:
    """Return what the commit has to boot with.

    Raises:
        ImageContentError: the initramfs is damaged, or something is larger than it may be.
    """
    kernels = tuple(
        version
        for version in tree.names(paths.MODULES, limit=MOST_MODULES_DIRECTORIES)
        if tree.content(paths.MODULES / version / "vmlinuz") is not None
    )
    image = (
        tree.content(paths.MODULES / kernels[0] / "initramfs.img") if len(kernels) == 1 else None
    )
    configs = (
        tree.read_text(Path(base) / paths.PREPARE_ROOT_CONF) for base in ("usr/etc", "usr/lib")
    )
    os_releases = (
        tree.read(tree.followed(Path(base, "os-release"))) for base in ("usr/lib", "usr/etc")
    )
    return BootFacts(
        kernels=kernels,
        has_initramfs=image is not None,
        has_prepare_root=(
            image is not None and boot_facts.has_prepare_root(image.parent, Path(image.name))
        ),
        prepare_root_conf=next((text for text in configs if text is not None), None),
        os_release=next((content for content in os_releases if content is not None), None),
        has_etc=tree.is_directory(Path("usr/etc")),
    )


def boot_checksum(tree: CommitTree) -> str | None:
    """Return what libostree will call the kernel and initramfs of a commit, its `bootcsum`.

    None where there is more to it, such as a device tree, or nothing to boot.
    """
    modules = [paths.MODULES / version for version in tree.names(paths.MODULES)]
    kernels = [path for path in modules if tree.content(path / "vmlinuz") is not None]
    if len(kernels) != 1 or {"devicetree", "dtb"} & set(tree.names(kernels[0])):
        return None
    checksum = hashlib.sha256()
    for name in ("vmlinuz", "initramfs.img"):
        content = tree.content(kernels[0] / name)
        if content is not None:
            with content.open("rb") as file:
                while block := file.read(_READ_BYTES):
                    checksum.update(block)
    return checksum.hexdigest()


def read_kargs_d(tree: CommitTree) -> tuple[tuple[str, str], ...]:
    """Return the path in the image, and the text, of each file in usr/lib/bootc/kargs.d."""
    names = (paths.KARGS_D / name for name in tree.names(paths.KARGS_D) if name.endswith(".toml"))
    found = ((f"/{name}", tree.read_text(name)) for name in names)
    return tuple((name, text) for name, text in found if text is not None)
