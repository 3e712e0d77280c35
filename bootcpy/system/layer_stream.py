"""A layer's tar on its way into the repository: decompressed, checked, filtered.

`filter_layer` reads a blob from a descriptor and writes tars to one or more others, each
a share of the files (`shards`), so that as many processes can hash and store at
once. It never holds more than a buffer of the layer in memory.
"""

import io
import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Final, Self

from bootcpy.errors import ImageContentError
from bootcpy.model.boot_paths import is_boot_path
from bootcpy.model.tar_filter import (
    REPO_PREFIX,
    WHITEOUT_PREFIX,
    Dropped,
    map_link_target,
    map_path,
    normalise,
    parents,
    require_utf8,
)
from bootcpy.system.layer_tar import (
    BUFFER_BYTES,
    ByteCounter,
    corrupt,
    decompressed,
    members,
    opened_tar,
)

_IMPLICIT_MODE: Final = 0o755
# Where files wait that podman's storage turned into links into the image's repository.
STASH: Final = ".bootcpy-stash"


@dataclass(slots=True)
class LayerSummary:
    """What the filter saw, apart from the files it passed on.

    Attributes:
        diff_id: digest of the uncompressed tar.
        links: hard links, path to target; the caller resolves them.
        implicit: directories the layer has files in but does not describe.
        whiteouts: whether it hides anything of the layers below.
        size_bytes: of all its files.
        boot_paths: what it adds to or hides in the directories of kernels.
        dropped: left-out members by the name they are counted under.
    """

    diff_id: str = ""
    links: dict[str, str] = field(default_factory=dict)
    implicit: set[str] = field(default_factory=set)
    whiteouts: bool = False
    size_bytes: int = 0
    boot_paths: list[str] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)


class _Shards:
    """The tars that are written, each a share of the files and all of the directories."""

    def __init__(self, fds: Sequence[int]) -> None:
        self._files = [io.BufferedWriter(io.FileIO(fd, "wb"), BUFFER_BYTES) for fd in fds]

    def directory(self, header: bytes) -> None:
        for file in self._files:
            file.write(header)

    def of(self, path: str) -> IO[bytes]:
        """Return the tar that `path` belongs to; always the same one."""
        return self._files[zlib.crc32(path.encode()) % len(self._files)]

    def finish(self) -> None:
        """Write the ends of the tars."""
        for file in self._files:
            file.write(bytes(2 * tarfile.BLOCKSIZE))
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._files:
            file.raw.close()  # what is buffered of a tar that failed is of no use


class _Filter:
    """The state of one pass over a layer's members."""

    def __init__(self, shards: _Shards, *, allow_nonusr: bool) -> None:
        self.summary = LayerSummary()
        self._shards = shards
        self._allow_nonusr = allow_nonusr
        self._directories: set[str] = {""}
        self._files: set[int] = set()  # hashes of paths: few bytes for each file
        self._stashed: set[str] = set()
        self.summary.implicit.add("")

    def pass_on(self, member: tarfile.TarInfo, tar: tarfile.TarFile) -> None:
        if self._pass_repo_link(member, tar):
            return
        mapped = map_path(member.name, allow_nonusr=self._allow_nonusr)
        if isinstance(mapped, Dropped):
            dropped = self.summary.dropped
            dropped[mapped.counted_as] = dropped.get(mapped.counted_as, 0) + 1
            return
        if mapped.path.rpartition("/")[2].startswith(WHITEOUT_PREFIX):
            self.summary.whiteouts = True
        if is_boot_path(mapped.path):
            self.summary.boot_paths.append(mapped.path)
        if member.isdir():
            self._directory(member, mapped.path)
        elif member.islnk():
            self._link(member, mapped.path, map_link_target(member.linkname))
        elif member.isreg() or member.issym():
            self._file(member, mapped.path, tar)
        else:
            raise ImageContentError(
                f"the layer has a member of an unsupported kind: {member.name!r} ({_kind(member)})",
                hint="device nodes, FIFOs and sockets belong into tmpfiles.d, not into an image",
            )

    def _directory(self, member: tarfile.TarInfo, path: str) -> None:
        self._ensure_parents(member, path)
        self._require_no_file(path)
        self._directories.add(path)
        self.summary.implicit.discard(path)
        self._shards.directory(_header(member, f"./{path}"))

    def _ensure_parents(self, member: tarfile.TarInfo, path: str) -> None:
        for parent in parents(path):
            if parent not in self._directories:
                self._require_no_file(parent)
                made = tarfile.TarInfo(f"./{parent}")
                made.type, made.mode = tarfile.DIRTYPE, _IMPLICIT_MODE
                made.uid, made.gid = member.uid, member.gid
                self._directories.add(parent)
                self.summary.implicit.add(parent)
                self._shards.directory(_header(made, made.name))

    def _require_no_file(self, path: str) -> None:
        if hash(path) in self._files or path in self.summary.links:
            raise _two_kinds(path)

    def _require_no_directory(self, path: str) -> None:
        if path in self._directories:
            raise _two_kinds(path)

    def _link(self, member: tarfile.TarInfo, path: str, target: str) -> None:
        self._ensure_parents(member, path)
        self._require_no_directory(path)
        self.summary.links.pop(path, None)  # links are resolved in the order they came in last
        self.summary.links[path] = target

    def _file(self, member: tarfile.TarInfo, path: str, tar: tarfile.TarFile) -> None:
        self._ensure_parents(member, path)
        self._require_no_directory(path)
        if member.issym():
            require_utf8(member.linkname, "symbolic link whose target")
        self.summary.links.pop(path, None)  # the last member of a name counts
        self._files.add(hash(path))
        out = self._shards.of(path)
        read = _content(member, tar)
        if member.issparse():
            member.type = tarfile.REGTYPE
        out.write(_header(member, f"./{path}"))
        if read is None:
            return
        self.summary.size_bytes += member.size
        left = member.size
        while left:
            chunk = read(min(left, BUFFER_BYTES))
            if not chunk:
                raise corrupt("the layer is truncated")
            out.write(chunk)
            left -= len(chunk)
        out.write(bytes(-member.size % tarfile.BLOCKSIZE))

    def require_link_targets(self) -> None:
        """Refuse hard links to anything but a file of the same layer."""
        resolved: set[str] = set()  # a link may point to a link before it
        for path, target in self.summary.links.items():
            if hash(target) in self._files or target in resolved:
                resolved.add(path)
            else:
                raise ImageContentError(
                    f"the layer's hard link {path!r} points to {target!r}, which the layer lacks",
                    hint="the image is malformed or hostile; do not use it",
                )

    def _pass_repo_link(self, member: tarfile.TarInfo, tar: tarfile.TarFile) -> bool:
        """Handle the links into the image's own repository; tell whether it was one.

        podman's storage drivers rewrite such links when the image has an ostree
        base (ostree-ext `tar::write` has the same special case); a fresh time stamp marks them.
        """
        if not member.mtime:
            return False
        if member.isreg() and (name := normalise(member.name)).startswith(REPO_PREFIX):
            stashed = f"{STASH}/{name.removeprefix(REPO_PREFIX)}"
            self._stashed.add(stashed)
            self._file(member, stashed, tar)
            return True
        if member.islnk() and member.linkname.startswith(REPO_PREFIX):
            stashed = f"{STASH}/{normalise(member.linkname).removeprefix(REPO_PREFIX)}"
            if stashed in self._stashed:
                path = normalise(member.name)
                mapped = map_path(path, allow_nonusr=True)
                if not isinstance(mapped, Dropped):
                    self._link(member, mapped.path, stashed)
            return True
        return False


def _content(member: tarfile.TarInfo, tar: tarfile.TarFile) -> Callable[[int], bytes] | None:
    """Return what reads the member's bytes; None if it has none."""
    if not member.isreg():
        return None
    # What follows the header is the file itself; tarfile's own reader would only copy it.
    source = tar.extractfile(member) if member.issparse() else tar.fileobj
    assert source is not None  # noqa: S101 - a regular file, of an archive that is open
    return source.read


def _two_kinds(path: str) -> ImageContentError:
    what = f"{path!r} is a directory and" if path else "the root is"
    return ImageContentError(
        f"the layer contradicts itself: {what} something else as well",
        hint="the image is malformed or hostile; do not use it",
    )


def _kind(member: tarfile.TarInfo) -> str:
    kinds = {
        tarfile.CHRTYPE: "a character device",
        tarfile.BLKTYPE: "a block device",
        tarfile.FIFOTYPE: "a FIFO",
    }
    return kinds.get(member.type, f"type {member.type!r}")


def _header(member: tarfile.TarInfo, name: str) -> bytes:
    """Return the tar header of `member` under a new name, extended attributes included."""
    member.name = name
    member.mtime = 0  # ostree keeps none
    member.uname = member.gname = ""  # ids count; names would be looked up on this machine
    # Records of the old name and size would win over the fields set here.
    member.pax_headers = {
        key: value for key, value in member.pax_headers.items() if key.startswith("SCHILY.xattr.")
    }
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def filter_layer(
    blob_fd: int, shard_fds: Sequence[int], counter: ByteCounter, *, allow_nonusr: bool
) -> LayerSummary:
    """Pass a layer's members on to the tars `shard_fds`; all descriptors are closed.

    Raises:
        ImageContentError: the layer is truncated, corrupt, or holds something that
            cannot be in an image.
        BrokenPipeError: a reader of a shard is gone.
    """
    with _Shards(shard_fds) as shards, decompressed(blob_fd, counter) as source:
        passing = _Filter(shards, allow_nonusr=allow_nonusr)
        with opened_tar(source) as tar:
            for member in members(tar):
                passing.pass_on(member, tar)
        passing.require_link_targets()
        shards.finish()
    passing.summary.diff_id = source.digest
    return passing.summary
