"""The root file system of an image being built: reading and rearranging it.

Everything takes the `root` it works on. During a build some paths are mounts of the build
tool (/etc/resolv.conf, caches): those are neither looked into nor changed.
"""

import errno
import grp
import os
import pwd
import shutil
import stat
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from pathlib import Path

from bootcpy.errors import EnvironmentMismatchError
from bootcpy.model.base.size import MIB, MOST_DROP_INS
from bootcpy.model.container.files import PATHS, ImageFile
from bootcpy.model.container.prepare import (
    MERGED,
    TOP_LEVEL_NAMES,
    EntryKind,
    MoveAndLink,
    Surroundings,
    TopLevel,
)
from bootcpy.model.container.var import FACTORY, VarEntry, VarKind
from bootcpy.paths import OSTREE_BOOTED
from bootcpy.system.files import below
from bootcpy.system.files.mount import read_mounts
from bootcpy.system.host import environment
from bootcpy.system.process.run import run

_NOT_DISABLED = frozenset({"enabled", "masked"})
_LARGEST_BYTES = MIB  # of a text file that is read whole
_TMPFILES_D = ("usr/lib/tmpfiles.d", "etc/tmpfiles.d")


def read_surroundings() -> Surroundings:
    """Return where this process runs."""
    try:
        other_root = not Path("/proc/1/root").samefile("/")
    except OSError:  # without CAP_SYS_PTRACE, or without /proc
        other_root = None
    return Surroundings(
        is_root=os.geteuid() == 0,
        ostree_booted=OSTREE_BOOTED.exists(),
        container_marked=environment.is_in_container(),
        init_has_other_root=other_root,
    )


def mount_points() -> frozenset[Path]:
    """Return every mount point below `/`, itself left out."""
    return frozenset(mount.mount_point for mount in read_mounts()) - {Path("/")}


def read_merged_links(root: Path) -> dict[str, str | None]:
    """Return the target of each of the usr-merge names that exists (None: not a link)."""
    return {
        name: str((root / name).readlink()) if (root / name).is_symlink() else None
        for name in MERGED
        if os.path.lexists(root / name)
    }


def read_top_level(root: Path) -> dict[str, TopLevel]:
    """Return what stands at each top-level name that a plan may change."""
    return {name: _top_level(root / name) for name in TOP_LEVEL_NAMES}


def _top_level(path: Path) -> TopLevel:
    if path.is_symlink():
        return TopLevel(kind=EntryKind.LINK, target=str(path.readlink()))
    if path.is_dir():
        return TopLevel(kind=EntryKind.DIRECTORY)
    return TopLevel(kind=EntryKind.OTHER if path.exists() else EntryKind.ABSENT)


def read_boot_kernels(root: Path) -> tuple[str, ...]:
    """Return the versions of the kernels in /boot."""
    found = (root / "boot").glob("vmlinuz-*")
    return tuple(sorted(path.name.removeprefix("vmlinuz-") for path in found))


def read_image_files(root: Path) -> dict[str, str]:
    """Return the text of each of the files to write that exists, or a link's target, by path."""
    found = {path: _text_or_target(root, path) for path in PATHS}
    return {path: text for path, text in found.items() if text is not None}


def _text_or_target(root: Path, path: str) -> str | None:
    target = below.link_target(root, path)
    if target is not None or not below.exists(root, path):
        return target
    return below.read_text(root, path, limit_bytes=_LARGEST_BYTES, errors="replace")


def read_disabled_units(root: Path) -> frozenset[str]:
    """Return the units that are not enabled, with those that have nothing to be enabled by.

    Some of the latter, as dracut's, are links, which enabling makes once more in /etc.

    Raises:
        ToolFailedError: systemctl failed.
    """
    said = run("systemctl", f"--root={root}", "list-unit-files", "--no-legend", "--plain")
    units = (line.split() for line in said.splitlines() if line.strip())
    return frozenset(name for name, state, *_ in units if state not in _NOT_DISABLED)


def read_var(root: Path, mounts: Collection[Path]) -> tuple[VarEntry, ...]:
    """Return everything in /var except mounts and what is in them."""
    var = root / "var"
    return tuple(_var_entry(path, var) for path in _walk(var, mounts))


def _walk(directory: Path, mounts: Collection[Path]) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        if path in mounts:
            continue
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path, mounts)


def _var_entry(path: Path, var: Path) -> VarEntry:
    status = path.lstat()
    kinds = {
        stat.S_IFDIR: VarKind.DIRECTORY,
        stat.S_IFREG: VarKind.FILE,
        stat.S_IFLNK: VarKind.LINK,
    }
    return VarEntry(
        path=str(path.relative_to(var)),
        kind=kinds.get(stat.S_IFMT(status.st_mode), VarKind.SPECIAL),
        mode=stat.S_IMODE(status.st_mode),
        user=_user(status.st_uid),
        group=_group(status.st_gid),
        target=str(path.readlink()) if stat.S_ISLNK(status.st_mode) else "",
    )


@cache
def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@cache
def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def known_owners() -> frozenset[str]:
    """Return the names of all users and groups."""
    return frozenset({u.pw_name for u in pwd.getpwall()} | {g.gr_name for g in grp.getgrall()})


def read_tmpfiles(root: Path, *, without: str) -> tuple[str, ...]:
    """Return the texts of all tmpfiles.d files but those named `without`."""
    return tuple(
        below.read_text(root, path, limit_bytes=_LARGEST_BYTES, errors="replace")
        for directory in _TMPFILES_D
        for name in below.names(root, directory, limit=MOST_DROP_INS)
        if name.endswith(".conf") and name != without
        if below.is_file(root, path := f"{directory}/{name}")
    )


def read_factory(root: Path) -> frozenset[str]:
    """Return the paths, relative to /var, of the factory copies of files in /var."""
    base = root / FACTORY / "var"
    return frozenset(str(p.relative_to(base)) for p in base.rglob("*") if not p.is_dir())


def require_not_mounted(paths: Sequence[Path], mounts: Collection[Path]) -> None:
    """Raise if one of `paths` is a mount point or has one below it.

    Raises:
        EnvironmentMismatchError: it is; the message names it.
    """
    for path in paths:
        for mount in sorted(mounts):
            if mount == path or path in mount.parents:
                raise EnvironmentMismatchError(
                    f"{mount} is a mount point, so {path} cannot be moved",
                    hint="run `bootc container prepare` in a separate RUN, without that mount",
                )


def move_and_link(root: Path, step: MoveAndLink) -> None:
    """Carry out `step`; what exists at the destination already is kept, and added to."""
    source, destination = root / step.name, root / step.destination
    if step.mode is not None and not destination.is_dir():
        destination.mkdir(parents=True)
        destination.chmod(step.mode)
    if step.contents and any(source.iterdir()):
        mode = stat.S_IMODE(destination.stat().st_mode)
        # A rename cannot move a directory out of a lower layer, and merges nothing.
        run("cp", "--archive", "--no-target-directory", source, destination)
        destination.chmod(mode)
    if step.contents:
        shutil.rmtree(source)
    source.unlink(missing_ok=True)
    source.symlink_to(step.destination)


def relocate(source: Path, destination: Path, *, link_text: str | None) -> None:
    """Move `source` to `destination`, replacing what is there; leave a link with `link_text`."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    _remove(destination)
    run("cp", "--archive", "--no-target-directory", source, destination)
    _remove(source)
    if link_text is not None:
        source.symlink_to(link_text)


def remove(path: Path) -> bool:
    """Remove `path`, whatever it is; return False if the build tool holds it as a mount."""
    try:
        _remove(path)
    except OSError as e:
        if e.errno != errno.EBUSY:
            raise
        return False
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def empty(directory: Path, mounts: Collection[Path] = ()) -> tuple[str, ...]:
    """Remove what is in `directory`, except `mounts` and what holds one; return the names gone."""
    names = []
    for path in sorted(directory.iterdir()):
        if any(path == mount or path in mount.parents for mount in mounts):
            if path.is_dir() and path not in mounts:
                empty(path, mounts)
        elif remove(path):
            names.append(path.name)
    return tuple(names)


def write(root: Path, file: ImageFile) -> None:
    """Write `file`, whole or not at all."""
    below.make_directories(root, Path(file.path).parent)
    if file.is_link:
        below.make_link(root, file.path, file.text)
    else:
        below.write_text(root, file.path, file.text, mode=file.mode)
