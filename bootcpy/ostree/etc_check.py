"""Trying the merge of /etc before an image is staged."""

from collections.abc import Iterator
from pathlib import Path

from bootcpy import paths
from bootcpy.errors import DeploymentError
from bootcpy.model.etc_merge import Incoming, Kind, find_conflicts, find_left_behind
from bootcpy.ostree.bindings import Gio, OSTree
from bootcpy.ostree.repo import explained
from bootcpy.system.etc_tree import read_etc

_ATTRIBUTES = "standard::name,standard::type,standard::symlink-target"
_KINDS = {
    Gio.FileType.DIRECTORY: Kind.DIRECTORY,
    Gio.FileType.SYMBOLIC_LINK: Kind.LINK,
    Gio.FileType.REGULAR: Kind.FILE,
}


def require_mergeable_etc(sysroot: OSTree.Sysroot, commit: str) -> tuple[str, ...]:
    """Refuse `commit` if the booted deployment's /etc cannot be merged into its own.

    Returns a line for each path that will not be there any more.

    Raises:
        DeploymentError: naming every path that is in the way.
    """
    booted = sysroot.require_booted_deployment()
    root = paths.SYSROOT / sysroot.get_deployment_dirpath(booted)
    with explained(f"commit {commit} cannot be read"):
        incoming = _incoming_etc(sysroot.repo(), commit)
    current = read_etc(root / "etc")
    conflicts = find_conflicts(read_etc(root / "usr/etc"), current, incoming)
    if conflicts:
        raise DeploymentError(
            f"changes in /etc cannot be carried over to the new image: {'; '.join(conflicts)}",
            hint="move what is named out of the way, and run the command again",
        )
    return tuple(
        f"/etc/{path} is a special file; it is not carried over to the new image"
        for path in find_left_behind(current)
    )


def _incoming_etc(repo: OSTree.Repo, commit: str) -> dict[str, Incoming]:
    _, root, _ = repo.read_commit(commit, None)
    etc = root.resolve_relative_path("usr/etc")
    if etc.query_file_type(Gio.FileQueryInfoFlags.NOFOLLOW_SYMLINKS, None) != (
        Gio.FileType.DIRECTORY
    ):
        return {}
    return {str(path): found for path, found in _walk(etc, Path())}


def _walk(directory: Gio.File, path: Path) -> Iterator[tuple[Path, Incoming]]:
    for info in directory.enumerate_children(
        _ATTRIBUTES, Gio.FileQueryInfoFlags.NOFOLLOW_SYMLINKS, None
    ):
        name = info.get_name()
        kind = _KINDS.get(info.get_file_type(), Kind.SPECIAL)
        target = info.get_symlink_target() if kind is Kind.LINK else None
        yield path / name, Incoming(kind=kind, target=target or "")
        if kind is Kind.DIRECTORY:
            yield from _walk(directory.get_child(name), path / name)
