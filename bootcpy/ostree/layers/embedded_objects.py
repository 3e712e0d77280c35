"""The layers of an embedded ostree commit: objects in a tar, stored under their checksums.

There are two kinds: the commit layer (the commit, all directories, some files) and the
chunks (files only). libostree computes the checksum of every object anew, so that nothing
can be stored under another's name.
"""

import hashlib
import re
import stat
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from bootcpy.errors import ImageContentError
from bootcpy.model.base.size import KIB, MIB
from bootcpy.model.layers.object_names import ObjectKind, ObjectName, parse_object_name
from bootcpy.model.layers.tar_headers import TarMember
from bootcpy.model.layers.tree import Listing, TreeRef
from bootcpy.ostree.base.bindings import GLib, OSTree
from bootcpy.ostree.base.objects import (
    RepoTrees,
    require_reserve,
    write_commit,
    write_directory_metadata,
)
from bootcpy.ostree.base.repo import explained, transaction
from bootcpy.ostree.layers.reachable import require_complete
from bootcpy.system.layers.tar import ByteCounter, decompressed, members, opened_tar
from bootcpy.system.layers.tar_reader import TarReader

# As ostree-ext: what exceeds these is no object that ostree wrote.
_METADATA_LIMIT: Final = 10 * MIB
_XATTRS_LIMIT: Final = 1 * MIB
_NAMED_XATTRS_LIMIT: Final = 64 * MIB  # of all that are kept in memory
_INLINE_LIMIT: Final = 127 * KIB

# libostree's words for an object that is not what it should be; it has no error code for it.
_BLAMES_OBJECT: Final = re.compile(r"[Cc]orrupt|[Ii]nvalid (?!argument)")

_XATTRS_TYPE: Final = "a(ayay)"
_COMMIT_TYPE: Final = "(a{sv}aya(say)sstayay)"
_METADATA_TYPES: Final = {
    ObjectKind.DIR_TREE: (OSTree.ObjectType.DIR_TREE, "(a(say)a(sayay))"),
    ObjectKind.DIR_META: (OSTree.ObjectType.DIR_META, "(uuua(ayay))"),
}


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """A layer whose objects are stored: what its tar hashed to, and the commit for its ref."""

    diff_id: str
    commit: str


@dataclass(frozen=True, slots=True)
class StoredCommitLayer(StoredLayer):
    """The layer with the commit, whose `content` stays unwritten until all is there that it names.

    `detached` is the detached metadata that came with it: no checksum covers that, so it is
    not written before the layer's is known.
    """

    content: bytes
    detached: bytes | None


def store_chunk(repo: OSTree.Repo, blob_fd: int, counter: ByteCounter) -> StoredLayer:
    """Store a chunk and write the commit that keeps its files; closes the descriptor.

    `repo` is in a transaction, whose end belongs to whoever knows the layer's diff_id.

    Raises:
        ImageContentError: the layer is corrupt.
        NoSpaceError, BootcpyError: see `explained`.
    """
    with _storing():
        files = _FileObjects(repo)
        diff_id = _read(blob_fd, counter, files.pass_on)
        files.require_end()
        # ostree-ext's "object set": a flat tree in which every object goes by its checksum.
        objects = {checksum: checksum for checksum in files.seen}
        contents = RepoTrees(repo).store(Listing(objects))
        root = TreeRef(contents, write_directory_metadata(repo, uid=0, gid=0, mode=0o40755))
        commit = write_commit(repo, root, metadata={}, timestamp_s=0)
    return StoredLayer(diff_id, commit)


def store_commit_layer(
    repo: OSTree.Repo, blob_fd: int, counter: ByteCounter, *, remote: str | None
) -> StoredCommitLayer:
    """Store the layer with the commit, all but that (see `write_embedded`); closes the descriptor.

    `repo` is in a transaction, as for `store_chunk`. With a `remote` the commit must carry a
    signature that the repository's configuration of that remote accepts; nothing is written
    before that is known.

    Raises:
        ImageContentError: the layer is corrupt, or the commit is not signed as demanded.
        NoSpaceError, BootcpyError: see `explained`.
    """
    with _storing():
        objects = _CommitObjects(repo, remote)
        diff_id = _read(blob_fd, counter, objects.pass_on)
        commit, content = objects.require_end()
    return StoredCommitLayer(diff_id, commit, content, objects.detached)


def write_embedded(repo: OSTree.Repo, layer: StoredCommitLayer, *, verified: bool) -> None:
    """Write a commit, if all that it names is there, and its signatures.

    Those that are here already stay, unless one in the new ones was `verified`.

    Raises:
        ImageContentError: something is missing. A commit that is here all the same, since
            versions before 0.2 did not look, is marked as partial: a ref may need it.
        NoSpaceError, BootcpyError: see `explained`.
    """
    with explained(f"the commit {layer.commit} cannot be written"):
        content = _variant(_COMMIT_TYPE, layer.content)
        _, known = repo.has_object(OSTree.ObjectType.COMMIT, layer.commit, None)
        try:
            require_complete(repo, layer.commit, content)
        except ImageContentError:
            if known:
                repo.mark_commit_partial(layer.commit, True)  # noqa: FBT003
            raise
        with transaction(repo):
            repo.write_metadata(OSTree.ObjectType.COMMIT, layer.commit, content, None)
            _write_detached(repo, layer, replace=verified or not known)
        repo.mark_commit_partial(layer.commit, False)  # noqa: FBT003


def _write_detached(repo: OSTree.Repo, layer: StoredCommitLayer, *, replace: bool) -> None:
    if layer.detached is None:
        return
    _, there = repo.read_commit_detached_metadata(layer.commit, None)
    if replace or not isinstance(there, GLib.Variant):
        detached = _variant("a{sv}", layer.detached)
        repo.write_commit_detached_metadata(layer.commit, detached, None)


@contextmanager
def _storing() -> Generator[None]:
    """Have what libostree finds wrong with an object be the image's fault.

    Raises:
        ImageContentError: an object is not what its name says.
        NoSpaceError, BootcpyError: see `explained`.
    """
    with explained("cannot store the layer"):
        try:
            yield
        except GLib.Error as e:
            if not _BLAMES_OBJECT.search(e.message):
                raise
            raise ImageContentError(
                f"the layer has a damaged ostree object: {e.message}",
                hint="the image is corrupt; pull, copy or build it again",
            ) from e


def _read(
    blob_fd: int, counter: ByteCounter, take: Callable[[ObjectName, "_Content"], None]
) -> str:
    """Hand the objects of a layer to `take`, in order, and return the layer's diff_id."""
    with decompressed(blob_fd, counter) as source:
        with opened_tar(source) as tar:
            for member in members(tar):
                name = None if member.isdir() else parse_object_name(member.name)
                if name is not None:
                    take(name, _Content(member, tar))
        return source.digest


@dataclass(frozen=True, slots=True)
class _Content:
    """An object's member of the tar."""

    header: TarMember
    tar: TarReader

    def chunks(self) -> Iterator[bytes]:
        if not self.header.isreg():
            raise _malformed(f"the member {self.header.name!r} is not a regular file")
        return self.tar.content(self.header)

    def read(self, limit_bytes: int) -> bytes:
        if self.header.size > limit_bytes:
            raise _malformed(f"the object {self.header.name!r} has {self.header.size} bytes")
        return b"".join(self.chunks())


def _malformed(what: str) -> ImageContentError:
    return ImageContentError(
        f"the layer is not one of an ostree commit: {what}",
        hint="the image is malformed or hostile; do not use it",
    )


def _variant(kind: str, content: bytes) -> GLib.Variant:
    octets = GLib.Bytes.new(content)
    return GLib.Variant.new_from_bytes(GLib.VariantType(kind), octets, False)  # noqa: FBT003


class _FileObjects:
    """Takes content objects: each one's extended attributes, then itself."""

    def __init__(self, repo: OSTree.Repo) -> None:
        self.seen: dict[str, None] = {}  # in order
        self._repo = repo
        self._named: dict[str, bytes] = {}
        self._named_bytes = 0
        self._pending: tuple[str, bytes] | None = None

    def pass_on(self, name: ObjectName, content: _Content) -> None:
        match name.kind:
            case ObjectKind.XATTRS:
                self._keep(name.checksum, content)
            case ObjectKind.XATTRS_LINK | ObjectKind.XATTRS_LINK_V0:
                if self._pending is not None:
                    raise _malformed(f"the file {self._pending[0]} is missing")
                self._pending = name.checksum, self._attributes(content)
            case ObjectKind.FILE:
                self._store(name.checksum, content)
            case _:
                raise _malformed(f"{content.header.name!r} is not part of this layer")

    def require_end(self) -> None:
        """Refuse to end between a file's attributes and the file."""
        if self._pending is not None:
            raise _malformed(f"the file {self._pending[0]} is missing")

    def _keep(self, checksum: str, content: _Content) -> None:
        attributes = content.read(_XATTRS_LIMIT)
        if hashlib.sha256(attributes).hexdigest() != checksum:
            raise _malformed(f"{content.header.name!r} has another checksum")
        self._named_bytes += len(attributes)
        if self._named_bytes > _NAMED_XATTRS_LIMIT:
            raise _malformed("it has too many extended attributes")
        self._named[checksum] = attributes

    def _attributes(self, content: _Content) -> bytes:
        if not content.header.islnk():
            return content.read(_XATTRS_LIMIT)
        target = parse_object_name(content.header.linkname)
        if target is None or target.checksum not in self._named:
            raise _malformed(f"{content.header.name!r} is a link to a missing file")
        return self._named[target.checksum]

    def _store(self, checksum: str, content: _Content) -> None:
        if self._pending is None or self._pending[0] != checksum:
            raise _malformed(f"the file {checksum} has no extended attributes before it")
        if checksum in self.seen:
            raise _malformed(f"the file {checksum} occurs twice")
        header, xattrs = content.header, _variant(_XATTRS_TYPE, self._pending[1])
        self._pending = None
        self.seen[checksum] = None
        if header.issym():
            self._repo.write_symlink(
                checksum, header.uid, header.gid, xattrs, header.linkname, None
            )
            return
        mode = stat.S_IFREG | header.mode
        chunks = content.chunks()
        if header.size <= _INLINE_LIMIT:
            whole = b"".join(chunks)
            self._repo.write_regfile_inline(
                checksum, header.uid, header.gid, mode, xattrs, whole, None
            )
            return
        require_reserve(self._repo, checksum, header.size)
        writer = self._repo.write_regfile(
            checksum, header.uid, header.gid, mode, header.size, xattrs
        )
        for chunk in chunks:
            writer.write_all(chunk, None)
        writer.finish(None)


class _CommitObjects:
    """Takes the objects of the commit layer: the commit first, then in any order."""

    def __init__(self, repo: OSTree.Repo, remote: str | None) -> None:
        self._repo = repo
        self._remote = remote
        self._files = _FileObjects(repo)
        self._checksum: str | None = None
        self._content = b""  # the commit
        self._checked = False  # the commit; its signatures come after it
        self.detached: bytes | None = None

    def pass_on(self, name: ObjectName, content: _Content) -> None:
        if self._checksum is None:
            if name.kind is not ObjectKind.COMMIT:
                raise _malformed(f"it begins with {content.header.name!r}, not with a commit")
            self._checksum = name.checksum
            self._content = content.read(_METADATA_LIMIT)
            return
        if not self._checked:
            if name.kind is ObjectKind.COMMIT_META and name.checksum == self._checksum:
                self.detached = content.read(_METADATA_LIMIT)
            self._check(self._checksum)
            self._checked = True
            if self.detached is not None:
                return
        if name.kind in _METADATA_TYPES:
            self._write(name, content.read(_METADATA_LIMIT))
        else:
            self._files.pass_on(name, content)

    def require_end(self) -> tuple[str, bytes]:
        """Refuse a layer that ends too early; return the commit's checksum and its bytes."""
        self._files.require_end()
        if self._checksum is None or not self._checked:
            raise _malformed("it has no commit with a tree")
        return self._checksum, self._content

    def _check(self, checksum: str) -> None:
        # Its signature counts for the bytes; libostree checks only while writing that they
        # are the ones the checksum names.
        if hashlib.sha256(self._content).hexdigest() != checksum:
            raise _malformed(f"the commit {checksum} has another checksum")
        if self._remote is not None:
            require_signature(self._repo, self._remote, checksum, self._content, self.detached)
        OSTree.validate_structureof_commit(_variant(_COMMIT_TYPE, self._content))

    def _write(self, name: ObjectName, content: bytes) -> None:
        kind, variant_type = _METADATA_TYPES[name.kind]
        self._repo.write_metadata(kind, name.checksum, _variant(variant_type, content), None)


def require_signature(
    repo: OSTree.Repo, remote: str, checksum: str, commit: bytes, signatures: bytes | None
) -> None:
    """Refuse a commit that carries no signature which `remote` accepts.

    Raises:
        ImageContentError: there is none, or it is not valid, or there is no such remote.
    """
    hint = f"check the remote's configuration and keys: ostree remote show-url {remote}"
    if signatures is None:
        raise ImageContentError(f"the embedded commit {checksum} is not signed", hint=hint)
    try:
        repo.signature_verify_commit_data(
            remote,
            GLib.Bytes.new(commit),
            GLib.Bytes.new(signatures),
            OSTree.RepoVerifyFlags.NONE,
        )
    except GLib.Error as e:
        raise ImageContentError(
            f"the embedded commit {checksum} has no signature that the remote {remote} requires: "
            f"{e.message}",
            hint=hint,
        ) from e
