"""A layer's tar on its way into the repository: decompressed, checked, filtered.

`read_layer` goes through a blob member by member. Content goes to a store at once; of each member
a record is left, and `build_layer` makes the layer's directories of these. Neither holds more than
a few buffers of the layer in memory.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from bootcpy.errors import ImageContentError
from bootcpy.model.layers.building import STASH, LayerTree, TreeSink, build_tree
from bootcpy.model.layers.kernels import is_boot_path
from bootcpy.model.layers.limits import (
    BOOT_PATHS,
    DROPPED_NAMES,
    MEMBERS,
    PATHS_BYTES,
    STASHED_FILES,
    XATTRS_BYTES,
    hostile,
    require_link_target,
    require_path,
    require_xattr,
    shown,
    too_many,
)
from bootcpy.model.layers.links import resolve_links
from bootcpy.model.layers.records import MemberKind, Record, grouped, key_of, pack
from bootcpy.model.layers.tar_headers import (
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    FIFO,
    TarMember,
)
from bootcpy.model.layers.tar_paths import (
    REPO_PREFIX,
    WHITEOUT_PREFIX,
    Dropped,
    map_link_target,
    map_path,
    normalise,
    require_utf8,
)
from bootcpy.system.layers.spilled_sort import SpilledSort
from bootcpy.system.layers.tar import ByteCounter, decompressed, members, opened_tar
from bootcpy.system.layers.tar_reader import TarReader

_REPO_WORD: Final = (
    "sysroot"  # in all names with `REPO_PREFIX`, which not all names need be cut for
)
_KINDS: Final = {
    CHARACTER_DEVICE: "a character device",
    BLOCK_DEVICE: "a block device",
    FIFO: "a FIFO",
}


class Attributes(NamedTuple):
    """What ostree keeps of a file beside its content; `mode` has only the permissions."""

    uid: int
    gid: int
    mode: int
    xattrs: tuple[tuple[bytes, bytes], ...]


class ObjectStore(Protocol):
    """Where the files of a layer go; each method returns a checksum."""

    def directory(self, attributes: Attributes) -> bytes:
        """Keep the metadata of a directory."""

    def regular(self, attributes: Attributes, member: TarMember, tar: TarReader) -> bytes:
        """Keep a regular file, whose content is read from `tar`."""

    def symlink(self, attributes: Attributes, target: str) -> bytes:
        """Keep a symbolic link."""


@dataclass(slots=True)
class LayerSummary:
    """What was seen of a layer, apart from its tree.

    Attributes:
        diff_id: digest of the uncompressed tar.
        whiteouts: whether it hides anything of the layers below.
        hard_links: how many it has.
        size_bytes: of all its files.
        boot_paths: what it adds to or hides in the directories of kernels, up to a limit.
        dropped: left-out members by the name they are counted under.
    """

    diff_id: str = ""
    whiteouts: bool = False
    hard_links: int = 0
    size_bytes: int = 0
    boot_paths: list[str] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)


class _Filter:
    """The state of one pass over a layer's members."""

    def __init__(
        self, tar: TarReader, objects: ObjectStore, records: SpilledSort, *, allow_nonusr: bool
    ) -> None:
        self.summary = LayerSummary()
        self._tar = tar
        self._objects = objects
        self._records = records
        self._allow_nonusr = allow_nonusr
        self._count = 0
        self._names_bytes = 0
        self._stashed: set[int] = set()  # hashes of keys: few bytes for each

    def pass_on(self, member: TarMember) -> None:
        self._count += 1
        if self._count > MEMBERS:
            raise too_many("members", MEMBERS)
        if self._pass_repo_link(member):
            return
        mapped = map_path(member.name, allow_nonusr=self._allow_nonusr)
        if isinstance(mapped, Dropped):
            self._drop(mapped.counted_as)
            return
        path = mapped.path
        if WHITEOUT_PREFIX in path and path.rpartition("/")[2].startswith(WHITEOUT_PREFIX):
            self.summary.whiteouts = True
        if is_boot_path(path) and len(self.summary.boot_paths) <= BOOT_PATHS:
            self.summary.boot_paths.append(path)
        if member.isreg():
            self._record(member, path, MemberKind.FILE, self._regular(member))
        elif member.isdir():
            self._record(
                member, path, MemberKind.DIRECTORY, self._objects.directory(_attributes(member))
            )
        elif member.issym():
            require_utf8(member.linkname, "symbolic link whose target")
            require_link_target(member.name, member.linkname)
            content = self._objects.symlink(_attributes(member), member.linkname)
            self._record(member, path, MemberKind.FILE, content)
        elif member.islnk():
            self._link(member, path, map_link_target(member.linkname))
        else:
            kind = _KINDS.get(member.kind, f"type {member.kind!r}")
            raise ImageContentError(
                f"the layer has a member of an unsupported kind: {shown(member.name)} ({kind})",
                hint="remove it from the image; a line in tmpfiles.d can create it at boot",
            )

    def _drop(self, counted_as: str) -> None:
        dropped = self.summary.dropped
        if counted_as in dropped or len(dropped) < DROPPED_NAMES:
            dropped[counted_as] = dropped.get(counted_as, 0) + 1

    def _regular(self, member: TarMember) -> bytes:
        self.summary.size_bytes += member.size
        return self._objects.regular(_attributes(member), member, self._tar)

    def _link(self, member: TarMember, path: str, target: str) -> None:
        require_path(target)
        self.summary.hard_links += 1
        self._record(member, path, MemberKind.LINK, key_of(target))

    def _record(self, member: TarMember, path: str, kind: MemberKind, payload: bytes) -> None:
        record = pack(Record(key_of(path), self._count, member.uid, member.gid, kind, payload))
        self._names_bytes += len(record)
        if self._names_bytes > PATHS_BYTES:
            raise too_many("bytes of names", PATHS_BYTES)
        self._records.add(record)

    def _pass_repo_link(self, member: TarMember) -> bool:
        """Handle the links into the image's own repository; tell whether it was one.

        podman's storage drivers rewrite such links when the image has an ostree
        base (ostree-ext `tar::write` has the same special case); a fresh time stamp marks them.
        """
        if not member.mtime:
            return False
        if member.isreg():
            if _REPO_WORD not in member.name:
                return False
            name = normalise(member.name)
            if not name.startswith(REPO_PREFIX):
                return False
            stashed = f"{STASH}/{name.removeprefix(REPO_PREFIX)}"
            self._stashed.add(hash(stashed))
            if len(self._stashed) > STASHED_FILES:
                raise too_many("files of a repository", STASHED_FILES)
            self._record(member, stashed, MemberKind.FILE, self._regular(member))
            return True
        if member.islnk() and member.linkname.startswith(REPO_PREFIX):
            stashed = f"{STASH}/{normalise(member.linkname).removeprefix(REPO_PREFIX)}"
            if hash(stashed) in self._stashed:
                mapped = map_path(member.name, allow_nonusr=True)
                if not isinstance(mapped, Dropped):
                    self._link(member, mapped.path, stashed)
            return True
        return False


def _attributes(member: TarMember) -> Attributes:
    if member.xattrs:
        total = 0
        for name, value in member.xattrs:
            require_xattr(member.name, name, value)
            total += len(name) + len(value)
        if total > XATTRS_BYTES:
            raise hostile(
                f"{shown(member.name)} in the layer has {total} bytes of extended attributes"
            )
    return Attributes(member.uid, member.gid, member.mode, member.xattrs)


def read_layer(
    blob_fd: int,
    objects: ObjectStore,
    records: SpilledSort,
    counter: ByteCounter,
    *,
    allow_nonusr: bool,
    in_process: bool = False,
) -> LayerSummary:
    """Pass a layer's files on to `objects`, and a record of each member to `records`.

    The descriptor is closed. `in_process` is for small layers: see `decompressed`.

    Raises:
        ImageContentError: the layer is truncated, corrupt, or holds something that
            cannot be in an image.
    """
    with decompressed(blob_fd, counter, in_process=in_process) as source:
        with opened_tar(source) as tar:
            passing = _Filter(tar, objects, records, allow_nonusr=allow_nonusr)
            for member in members(tar):
                passing.pass_on(member)
        passing.summary.diff_id = source.digest
    return passing.summary


def build_layer(
    records: SpilledSort, sink: TreeSink, directory: Path, *, hard_links: bool
) -> LayerTree:
    """Write the directories that the records of a layer make; `directory` is for temporary files.

    Raises:
        ImageContentError: the layer contradicts itself, or has a hard link to nothing.
    """
    with ExitStack() as sorters:
        return build_tree(
            grouped(records),
            resolve_links(records, lambda: sorters.enter_context(SpilledSort(directory)))
            if hard_links
            else iter(()),
            sink,
        )
