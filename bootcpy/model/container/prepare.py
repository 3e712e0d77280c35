"""What `bootc container prepare` decides, before it touches anything.

Pure functions over facts that `bootcpy.system.container.image_tree` reads: may it run here, which
kernel is the one, and where the top-level directories go. What becomes of /var is in
`bootcpy.model.container.var`, the files that are written are in `bootcpy.model.container.files`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bootcpy.errors import EnvironmentMismatchError, ImageContentError, PrivilegeError
from bootcpy.model.base.listing import shown_few
from bootcpy.model.base.natural_order import natural_key
from bootcpy.model.boot.kernels import KERNEL
from bootcpy.model.image.tree import FileKind, ImageTree, names
from bootcpy.paths import MODULES


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where the process runs."""

    is_root: bool
    ostree_booted: bool
    container_marked: bool  # /run/.containerenv, /.dockerenv or $container
    init_has_other_root: bool | None  # None: the kernel would not say


def require_image_build(here: Surroundings) -> None:
    """Raise unless `/` is the root of an image being built; elsewhere this would destroy a system.

    Raises:
        PrivilegeError: not root.
        EnvironmentMismatchError: `/` is that of a running machine, or cannot be told from one.
    """
    if not here.is_root:
        raise PrivilegeError(
            "preparing an image needs root", hint="run it as a RUN step of a Containerfile"
        )
    hint = "run it as a RUN step of a Containerfile; it changes the root file system"
    if here.ostree_booted:
        raise EnvironmentMismatchError("this system was booted from an image", hint=hint)
    if not here.container_marked and not here.init_has_other_root:
        raise EnvironmentMismatchError("this is a running machine, not an image", hint=hint)


# usrmerge: https://www.freedesktop.org/wiki/Software/systemd/TheCaseForTheUsrMerge/
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_MUST_BE_MERGED = ("bin", "sbin", "lib")


def require_usr_merged(links: Mapping[str, str | None]) -> None:
    """Raise unless each of `links` (name below `/` to link target, None: no link) is in /usr.

    Raises:
        ImageContentError: one is missing that every Debian has, or is a directory of its own.
    """
    for name in MERGED:
        if name not in links and name not in _MUST_BE_MERGED:
            continue
        target = links.get(name)
        if target is None or target.strip("/") != f"usr/{name}":
            raise ImageContentError(
                f"this root file system is not usr-merged: /{name} is not a link to usr/{name}",
                hint="install the package usrmerge first, or use Debian 12 or later as the base",
            )


_PACKAGED = ("kernel", "modules.builtin", "modules.order")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModulesDirectory:
    """One /usr/lib/modules/VERSION."""

    version: str
    has_vmlinuz: bool
    has_packaged_files: bool  # what a kernel package brings


def modules_directories(tree: ImageTree) -> tuple[ModulesDirectory, ...]:
    """Return the directories of kernel modules, sorted; links to others are none.

    Raises:
        ImageContentError: they cannot be listed, or are too many.
    """
    return tuple(
        ModulesDirectory(
            version=path.name,
            has_vmlinuz=tree.kind(path / KERNEL) is FileKind.FILE,
            has_packaged_files=any(tree.kind(path / name) is not None for name in _PACKAGED),
        )
        for path in (MODULES / name for name in names(tree, MODULES))
        if tree.kind(path) is FileKind.DIRECTORY and tree.link_target(path) is None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelPlan:
    """Which kernel the image boots, and what is done to that end."""

    version: str
    from_boot: bool  # move /boot/vmlinuz-VERSION to /usr/lib/modules/VERSION/vmlinuz
    left_over: tuple[str, ...]  # versions whose package went away; their directory is ours


def plan_kernel(
    in_boot: Sequence[str], modules: Sequence[ModulesDirectory], *, prepared: str | None
) -> KernelPlan:
    """Return the plan for the one kernel among `/boot/vmlinuz-*` versions and `modules`.

    `prepared` is the version an earlier run prepared. When its package is gone, dpkg has
    left the directory because of what that run put there, and it is not a kernel any more.

    Raises:
        ImageContentError: there is no kernel, or more than one.
    """
    left_over = tuple(
        entry.version
        for entry in modules
        if entry.version == prepared
        and not entry.has_packaged_files
        and entry.version not in in_boot
    )
    here = {entry.version for entry in modules if entry.has_vmlinuz} - set(left_over)
    versions = sorted(here | set(in_boot), key=natural_key)
    match versions:
        case []:
            raise ImageContentError(
                "no kernel: neither /usr/lib/modules/*/vmlinuz nor /boot/vmlinuz-* exists",
                hint="install one first: apt-get install linux-image-amd64",
            )
        case [version]:
            return KernelPlan(version=version, from_boot=version in in_boot, left_over=left_over)
        case _:
            older = shown_few([f"linux-image-{each}" for each in versions[:-1]], separator=" ")
            raise ImageContentError(
                f"more than one kernel: {shown_few(versions)}; an image boots exactly one",
                hint=f"remove the old ones: apt-get autoremove --purge, or purge {older}",
            )


class EntryKind(StrEnum):
    """What stands at a path, not following a link."""

    ABSENT = "absent"
    DIRECTORY = "directory"
    LINK = "link"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopLevel:
    """What stands at a top-level name."""

    kind: EntryKind
    target: str | None = None  # of a link


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveAndLink:
    """Move what is in the directory `/name` to `destination`, and make `/name` a link there."""

    name: str
    destination: str  # relative to `/`, as the link's text is
    mode: int | None  # of the destination, if it is new; None: nothing is made there
    contents: bool  # there is a directory whose contents move


# Where libostree and systemd want the machine's own data: below /var. /opt is the vendor's:
# it goes below /usr, so that it is read-only, and updated and rolled back with the image; as
# a top-level directory its files would be writable hard links into the ostree repository.
_LINKS = (
    ("home", "var/home", 0o755),
    ("root", "var/roothome", 0o700),
    ("srv", "var/srv", 0o755),
    ("mnt", "var/mnt", 0o755),
    ("media", "var/media", 0o755),
    ("opt", "usr/lib/opt", 0o755),
    ("ostree", "sysroot/ostree", None),  # the machine's own disk is there
)
TOP_LEVEL_NAMES = tuple(name for name, _, _ in _LINKS)


def plan_top_level(found: Mapping[str, TopLevel]) -> tuple[MoveAndLink, ...]:
    """Return what turns the top-level names `found` into the links of a bootable image.

    Raises:
        ImageContentError: a name is taken by something that cannot be moved.
    """
    steps = []
    for name, destination, mode in _LINKS:
        there = found.get(name, TopLevel(kind=EntryKind.ABSENT))
        match there.kind:
            case EntryKind.LINK if there.target and there.target.strip("/") == destination:
                continue
            case EntryKind.ABSENT | EntryKind.DIRECTORY:
                contents = there.kind is EntryKind.DIRECTORY
                steps.append(
                    MoveAndLink(name=name, destination=destination, mode=mode, contents=contents)
                )
            case _:
                what = f"a link to {there.target}" if there.target is not None else "a file"
                raise ImageContentError(
                    f"/{name} is {what}, but must be a link to {destination}",
                    hint=f"remove /{name}, or make it a directory, and prepare again",
                )
    return tuple(steps)
