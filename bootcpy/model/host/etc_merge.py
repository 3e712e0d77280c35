"""Whether the changes made to /etc can be carried over to another image's /etc.

libostree does that at shutdown, and gives the whole update up at the first thing it cannot
merge, when nobody is there to read why. These are its rules (ostree-sysroot-deploy.c,
`merge_configuration_from`; tried against 2025.2), applied while somebody is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from posixpath import normpath

_LINK_HOPS = 40  # as the kernel
_READ_ONLY = frozenset({"usr", "etc", "bin", "sbin", "lib", "lib64"})


class EtcKind(StrEnum):
    """What a path is, without following links."""

    DIRECTORY = "directory"
    FILE = "file"
    LINK = "symbolic link"
    SPECIAL = "special file"  # a socket, pipe or device; never carried over


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What libostree compares; `content` is a digest, or a link's target."""

    kind: EtcKind
    mode: int
    uid: int
    gid: int
    content: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """What the new image has at a path, and where a link of it points to."""

    kind: EtcKind
    target: str = ""


def find_conflicts(
    shipped: Mapping[str, Node], current: Mapping[str, Node], incoming: Mapping[str, Incoming]
) -> tuple[str, ...]:
    """Return what cannot be merged, a clause for each path; empty if everything can.

    The keys are paths relative to /etc. `shipped` is the running image's /etc, `current`
    what became of it, `incoming` the new image's.
    """
    found: dict[str, str] = {}
    for path in sorted(shipped.keys() | current.keys()):
        if not _differs(shipped.get(path), current.get(path)):
            continue
        node = current.get(path)
        clashes = node is not None and node.kind is not EtcKind.DIRECTORY
        if node is not None and clashes and _kind(incoming.get(path)) is EtcKind.DIRECTORY:
            found[path] = f"/etc/{path} is a {node.kind} on this host and a directory in the image"
        for parent in _parents(path):
            if not (_is_directory(shipped.get(parent)) and _is_directory(current.get(parent))):
                continue
            there = incoming.get(parent)
            # Through a link the changes are written to where it leads; a removal is not.
            blocked = node is not None and _leads_nowhere(parent, incoming)
            if there is not None and (there.kind is EtcKind.FILE or blocked):
                found[parent] = (
                    f"/etc/{parent} is a directory with changes on this host "
                    f"and a {there.kind} in the image"
                )
    return tuple(found.values())


def find_left_behind(current: Mapping[str, Node]) -> tuple[str, ...]:
    """Return what the merge does not carry over and does not fail at either, by path."""
    return tuple(sorted(path for path, node in current.items() if node.kind is EtcKind.SPECIAL))


def _differs(shipped: Node | None, current: Node | None) -> bool:
    """Tell whether a path was added, removed or changed; a directory's mode is no conflict."""
    if _is_directory(shipped) and _is_directory(current):
        return False
    return shipped != current


def _is_directory(node: Node | None) -> bool:
    return node is not None and node.kind is EtcKind.DIRECTORY


def _kind(incoming: Incoming | None) -> EtcKind | None:
    return None if incoming is None else incoming.kind


def _leads_nowhere(path: str, incoming: Mapping[str, Incoming]) -> bool:
    """Tell whether `path` is a link below which nothing can be written at shutdown.

    An absolute one is followed in the system that shuts down, where /usr and /etc are
    read-only by then.
    """
    for _hop in range(_LINK_HOPS):
        there = incoming.get(path)
        if there is None or there.kind is not EtcKind.LINK:
            return there is None
        if there.target.startswith("/"):
            return normpath(there.target.lstrip("/")).partition("/")[0] in _READ_ONLY
        path = normpath(str(PurePosixPath(path).parent / there.target))
        if path == "." or path.startswith("../"):
            return False  # above /etc; that is written to
    return True


def _parents(path: str) -> Iterator[str]:
    """Yield the directories above `path`, below /etc, outermost last."""
    return (str(parent) for parent in PurePosixPath(path).parents if parent.name)
