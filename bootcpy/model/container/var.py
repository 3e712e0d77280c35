"""What becomes of /var when an image is prepared.

An image's /var is at most the machine's first content and never updated, so nothing may
depend on it. Everything in it is sorted: what describes the installed packages moves
below /usr/lib/sysimage and a link stays; caches and logs go; other files become factory
defaults; and directories and links stay, each with a line in tmpfiles.d that makes it again
on a machine whose /var lacks it. Leaving the empty directories in the image keeps maintainer
scripts working in a derived build.
"""

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

FACTORY = "usr/share/factory"  # where tmpfiles.d(5) looks for the source of a `C` line
HEADER = """\
# Written by `bootc container prepare`: what the packages of this image need in /var.
# tmpfiles.d(5); a line of /etc/tmpfiles.d for the same path takes precedence.
"""


class VarKind(StrEnum):
    """The kinds of things in /var."""

    DIRECTORY = "directory"
    FILE = "file"
    LINK = "link"
    SPECIAL = "special"  # socket, pipe, device


@dataclass(frozen=True, slots=True, kw_only=True)
class VarEntry:
    """One thing in /var; `path` is relative to /var."""

    path: str
    kind: VarKind
    mode: int
    user: str
    group: str
    target: str = ""  # of a link


@dataclass(frozen=True, slots=True, kw_only=True)
class Relocation:
    """Move /var/`path` to `destination` (relative to `/`) and leave a link."""

    path: str
    destination: str

    @property
    def target(self) -> str:
        """The text of the link, relative so that it holds wherever the root is mounted."""
        return posixpath.relpath(f"/{self.destination}", posixpath.dirname(f"/var/{self.path}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class VarPlan:
    """What to do with /var; paths are relative to it."""

    tmpfiles: str  # the text of the generated tmpfiles.d file
    factory: tuple[str, ...]  # files to move below FACTORY
    removed: tuple[str, ...]  # files to drop


# State of package management: it describes /usr and /etc, so it travels with them. Without it
# `dpkg -l` is empty, autoremove knows nothing, and an upgrade in a derived image enables
# services again that were disabled and asks about configuration files nobody changed.
_SYSIMAGE = "usr/lib/sysimage"
_PACKAGE_STATE = (
    "lib/dpkg",
    "lib/apt/extended_states",
    "lib/dictionaries-common",
    "lib/emacsen-common",
    "lib/grub/ucf",
    "lib/pam",
    "lib/python",
    "lib/sgml-base",
    "lib/shells.state",
    "lib/systemd/deb-systemd-helper-enabled",
    "lib/systemd/deb-systemd-helper-masked",
    "lib/systemd/deb-systemd-user-helper-enabled",
    "lib/systemd/deb-systemd-user-helper-masked",
    "lib/ucf",
    "lib/xml-core",
)
# What can be made again, or must not be the same on two machines.
_DROPPED = (
    "backups/",
    "cache/",
    "lib/apt/lists/",
    "lib/apt/mirrors/",
    "lib/dbus/machine-id",
    "lib/systemd/catalog/",
    "lib/systemd/credential.secret",
    "lib/systemd/random-seed",
    "lib/systemd/timers/",
    "lib/systemd/timesync/",
    "log/",
    "tmp/",
)
# Of these the directories inside go as well; elsewhere they are a package's.
_DROPPED_WHOLE = ("tmp/", "lib/apt/lists/", "cache/debconf/", "cache/man/", "cache/dracut/")


def plan_relocations(entries: Iterable[VarEntry]) -> tuple[Relocation, ...]:
    """Return the package state among `entries` that is still in /var itself."""
    real = {entry.path for entry in entries if entry.kind in {VarKind.DIRECTORY, VarKind.FILE}}
    return tuple(
        Relocation(path=path, destination=f"{_SYSIMAGE}/{path.removeprefix('lib/')}")
        for path in _PACKAGE_STATE
        if path in real
    )


def is_dropped(path: str) -> bool:
    """Say whether the file `path` of /var is a cache, a log, or a machine's own."""
    return path.startswith(_DROPPED)


def plan_var(
    entries: Sequence[VarEntry],
    *,
    previous: str,
    factory: frozenset[str],
    declared: frozenset[str],
    known_owners: frozenset[str],
) -> VarPlan:
    """Return what is done with `entries`, of which package state has already moved.

    `previous` is the file an earlier run generated: its lines for what has gone from /var
    since stay, as long as their owners are in `known_owners` and the source of a copy in
    `factory` (paths relative to /var). Paths that other tmpfiles.d files `declared` (absolute)
    get no line.
    """
    lines = {f"/var/{e.path}": line for e in entries if (line := _line(e)) is not None}
    for path, line in _lines_by_path(previous).items():
        if path not in lines and _still_holds(path, line, factory, known_owners):
            lines[path] = line
    kept = [lines[path] for path in sorted(lines) if path not in declared]
    return VarPlan(
        tmpfiles=HEADER + "".join(f"{line}\n" for line in kept),
        factory=tuple(
            sorted(e.path for e in entries if e.kind is VarKind.FILE and not is_dropped(e.path))
        ),
        removed=tuple(sorted(e.path for e in entries if _line(e) is None)),
    )


def declared_paths(texts: Iterable[str]) -> frozenset[str]:
    """Return the absolute paths that the tmpfiles.d files `texts` create."""
    paths = set()
    for text in texts:
        for line in text.splitlines():
            match line.split():
                case [kind, path, *_] if kind[0] in "dDvqQLCfFpwc" and "/" in path[:2]:
                    paths.add(path.strip("\"'").rstrip("/"))
                case _:
                    continue
    return frozenset(paths)


def _is_partial(path: str) -> bool:
    return posixpath.basename(path) in {"partial", "auxfiles"}  # apt's, with an owner of its own


def _line(entry: VarEntry) -> str | None:
    """Return the line that makes `entry` again on a machine; None when it is dropped."""
    path = _escaped(f"/var/{entry.path}")
    whole = entry.path.startswith(_DROPPED_WHOLE) and not _is_partial(entry.path)
    match entry.kind:
        case VarKind.DIRECTORY if not whole:
            return f"d {path} {entry.mode:04o} {entry.user} {entry.group} -"
        case VarKind.LINK if not whole:
            return f"L {path} - - - - {_escaped(entry.target)}"
        case VarKind.FILE if not is_dropped(entry.path):
            return f"C {path} {entry.mode:04o} {entry.user} {entry.group} -"
        case _:
            return None


def _lines_by_path(text: str) -> Mapping[str, str]:
    found = {}
    for line in text.splitlines():
        match line.split():
            case [kind, path, *_] if not kind.startswith("#"):
                found[_unescaped(path)] = line
            case _:
                continue
    return found


def _still_holds(
    path: str, line: str, factory: frozenset[str], known_owners: frozenset[str]
) -> bool:
    match line.split():
        case ["L", *_]:
            return True
        case [kind, _, _, user, group, *_]:
            if kind == "C" and path.removeprefix("/var/") not in factory:
                return False
            return user in known_owners and group in known_owners
        case _:
            return False


def _escaped(text: str) -> str:
    """Return `text` as one word of a tmpfiles.d line: specifiers and C escapes apply there."""
    escapes = {"\\": "\\\\", " ": "\\x20", "\t": "\\t", "\n": "\\n", '"': '\\"', "'": "\\'"}
    return "".join(escapes.get(c, c) for c in text).replace("%", "%%")


def _unescaped(word: str) -> str:
    for code, char in (("\\x20", " "), ("\\t", "\t"), ("\\n", "\n"), ('\\"', '"'), ("\\'", "'")):
        word = word.replace(code, char)
    return word.replace("\\\\", "\\").replace("%%", "%")
