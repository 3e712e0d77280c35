"""Trying the merge of /etc before an image is staged."""

from collections.abc import Iterator
from pathlib import Path

from bootcpy import paths
from bootcpy.errors import DeploymentError
from bootcpy.model.base.listing import shown_few
from bootcpy.model.host.etc_merge import EtcKind, Incoming, find_conflicts, find_left_behind
from bootcpy.model.layers.tree import Directory
from bootcpy.ostree.base.bindings import OSTree
from bootcpy.ostree.base.objects import open_tree
from bootcpy.ostree.base.repo import explained, file_object
from bootcpy.system.host.etc_tree import read_etc


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
            "changes in /etc cannot be merged into the new image: "
            f"{shown_few(conflicts, limit=10, separator='; ')}",
            hint="move or remove these paths, and run the command again",
        )
    return tuple(
        f"/etc/{path} is a special file; it will not be in the new deployment"
        for path in find_left_behind(current)
    )


def _incoming_etc(repo: OSTree.Repo, commit: str) -> dict[str, Incoming]:
    etc = open_tree(repo, commit).find("usr/etc")
    repo_path = Path(f"/proc/self/fd/{repo.get_dfd()}")
    return {} if etc is None else dict(_walk(repo_path, etc, ""))


def _walk(repo_path: Path, directory: Directory, path: str) -> Iterator[tuple[str, Incoming]]:
    """Yield what is below a directory; a bare repository has links as links among its objects."""
    for name, checksum in directory.files.items():
        file = file_object(repo_path, checksum)
        if file.is_symlink():
            yield f"{path}{name}", Incoming(kind=EtcKind.LINK, target=str(file.readlink()))
        else:
            yield f"{path}{name}", Incoming(kind=EtcKind.FILE)
    for name, below in directory.dirs.items():
        yield f"{path}{name}", Incoming(kind=EtcKind.DIRECTORY)
        yield from _walk(repo_path, below, f"{path}{name}/")
