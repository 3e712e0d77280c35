"""The files of a commit in a bare repository, read without checking it out."""

import hashlib
from pathlib import Path

from bootcpy import paths
from bootcpy.model.bootable import BootFacts
from bootcpy.ostree.bindings import Gio, OSTree
from bootcpy.ostree.repo import explained, open_repo
from bootcpy.system import boot_facts

_TYPE = "standard::type"
_READ_BYTES = 1 << 20
_NAME_AND_TYPE = "standard::name,standard::type"


class CommitTree:
    """A commit's tree; paths are relative to its root, symbolic links are not followed."""

    def __init__(self, repo_path: Path, commit: str) -> None:
        """Open the commit `commit` of the bare repository at `repo_path`.

        Raises:
            BootcpyError: there is no such repository or commit.
        """
        self._objects = repo_path / "objects"
        with explained(f"commit {commit} cannot be read"):
            _, self._root, _ = open_repo(repo_path).read_commit(commit, None)

    def names(self, directory: Path) -> tuple[str, ...]:
        """Return what the directory holds, sorted; nothing if there is no such directory."""
        file = self._root.resolve_relative_path(str(directory))
        if file.query_file_type(Gio.FileQueryInfoFlags.NOFOLLOW_SYMLINKS, None) != (
            Gio.FileType.DIRECTORY
        ):
            return ()
        with explained(f"the directory /{directory} of the commit cannot be read"):
            found = file.enumerate_children(
                _NAME_AND_TYPE, Gio.FileQueryInfoFlags.NOFOLLOW_SYMLINKS, None
            )
            return tuple(sorted(info.get_name() for info in found))

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
        checksum = file.get_checksum()
        return self._objects / checksum[:2] / f"{checksum[2:]}.file"


def boot_facts_of(tree: CommitTree) -> BootFacts:
    """Return what the commit has to boot with.

    Raises:
        ImageContentError: the initramfs is damaged.
    """
    kernels = tuple(
        version
        for version in tree.names(paths.MODULES)
        if tree.content(paths.MODULES / version / "vmlinuz") is not None
    )
    image = (
        tree.content(paths.MODULES / kernels[0] / "initramfs.img") if len(kernels) == 1 else None
    )
    configs = [
        tree.content(Path(base) / paths.PREPARE_ROOT_CONF) for base in ("usr/etc", "usr/lib")
    ]
    config = next(filter(None, configs), None)
    return BootFacts(
        kernels=kernels,
        has_initramfs=image is not None,
        has_prepare_root=image is not None and boot_facts.has_prepare_root(image),
        prepare_root_conf=None if config is None else boot_facts.read_config(config),
        has_os_release=any(
            tree.content(Path(base, "os-release")) is not None for base in ("usr/etc", "usr/lib")
        ),
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
    names = [paths.KARGS_D / name for name in tree.names(paths.KARGS_D)]
    found = ((f"/{name}", tree.content(name)) for name in names)
    return tuple((name, boot_facts.read_config(path)) for name, path in found if path is not None)
