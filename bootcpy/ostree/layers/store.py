"""A layer's files and directories as objects of the repository, written as the layer flows by."""

import hashlib
import stat
import tempfile
from pathlib import Path
from typing import IO, Final, NamedTuple, TypeVar

from bootcpy.errors import ImageContentError
from bootcpy.model.base.size import KIB, MIB
from bootcpy.model.layers.dirtree import DirtreeReader, DirtreeWriter
from bootcpy.model.layers.limits import shown
from bootcpy.model.layers.tar_headers import TarMember
from bootcpy.ostree.base.bindings import Gio, GLib, OSTree
from bootcpy.ostree.base.objects import (
    DIRTREE_TYPE,
    FileFacts,
    content_header,
    octets,
    require_reserve,
    write_content,
    write_directory_metadata,
)
from bootcpy.system.layers.filter import Attributes
from bootcpy.system.layers.tar_reader import TarReader

# Up to the first, libostree's own checksum is the sooner; up to the second, the file's content
# fits in memory, and OpenSSL's is.
_INLINE_BYTES: Final = 2 * KIB
_WHOLE_BYTES: Final = 1 * MIB
# What is remembered, so that equal files and directories are written once: empty files above all.
_REMEMBERED_BYTES: Final = 64
_REMEMBERED: Final = 4096
_REMEMBERED_XATTRS_BYTES: Final = 512
_SMALL_OBJECT_BYTES: Final = 1 * MIB
_XATTRS_TYPE: Final = "a(ayay)"
_IMPLICIT_MODE: Final = 0o755
_PLAIN: Final = Attributes(0, 0, 0, ())

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class _Header(NamedTuple):
    """The metadata of files as libostree wants it, and as their checksums begin with it."""

    xattrs: GLib.Variant
    hashed: bytes


class RepoObjects:
    """Writes content and directory metadata to a repository that is in a transaction."""

    def __init__(self, repo: OSTree.Repo) -> None:
        """Begin without having written anything."""
        self._repo = repo
        self._no_xattrs = GLib.Variant(_XATTRS_TYPE, [])
        self._directories: dict[Attributes, bytes] = {}
        self._small: dict[tuple[Attributes, bytes], bytes] = {}
        self._links: dict[tuple[Attributes, str], bytes] = {}
        self._headers: dict[Attributes, _Header] = {}

    def directory(self, attributes: Attributes) -> bytes:
        """Write the metadata of a directory and return its checksum."""
        known = self._directories.get(attributes)
        if known is None:
            uid, gid, mode, xattrs = attributes
            known = bytes.fromhex(
                write_directory_metadata(
                    self._repo, uid=uid, gid=gid, mode=stat.S_IFDIR | mode, xattrs=xattrs
                )
            )
            _remember(self._directories, attributes, attributes, known)
        return known

    def regular(self, attributes: Attributes, member: TarMember, tar: TarReader) -> bytes:
        """Write a regular file, whose content is next in `tar`, and return its checksum.

        Raises:
            ImageContentError: the tar is truncated, or the file cannot have its attributes.
            NoSpaceError: the file would take what the repository leaves free.
        """
        try:
            if member.size > _WHOLE_BYTES:
                return self._large(attributes, member, tar)
            content = b"".join(tar.content(member))
            if member.size > _INLINE_BYTES:
                return self._hashed(attributes, content)
            return self._inline(attributes, content)
        except GLib.Error as e:
            raise _explained(e, attributes, member.name) from e

    def symlink(self, attributes: Attributes, target: str) -> bytes:
        """Write a symbolic link and return its checksum.

        Raises:
            ImageContentError: the link cannot have its attributes.
        """
        key = attributes, target
        known = self._links.get(key)
        if known is None:
            known = self._symlink(attributes, target)
            if len(target) <= _REMEMBERED_BYTES:
                _remember(self._links, attributes, key, known)
        return known

    def _symlink(self, attributes: Attributes, target: str) -> bytes:
        xattrs = self._xattrs(attributes)
        try:
            written = self._repo.write_symlink(
                None, attributes.uid, attributes.gid, xattrs, target, None
            )
        except GLib.Error as e:
            raise _explained(e, attributes, target) from e
        return bytes.fromhex(written)

    def _inline(self, attributes: Attributes, content: bytes) -> bytes:
        key = attributes, content
        known = self._small.get(key) if len(content) <= _REMEMBERED_BYTES else None
        if known is not None:
            return known
        uid, gid, mode, _ = attributes
        xattrs = self._xattrs(attributes)
        written = bytes.fromhex(
            self._repo.write_regfile_inline(
                None, uid, gid, stat.S_IFREG | mode, xattrs, content, None
            )
        )
        if len(content) <= _REMEMBERED_BYTES:
            _remember(self._small, attributes, key, written)
        return written

    def _hashed(self, attributes: Attributes, content: bytes) -> bytes:
        uid, gid, mode, _ = attributes
        header = self._header(attributes)
        digest = hashlib.sha256(header.hashed)
        digest.update(content)
        checksum = digest.hexdigest()
        _, known = self._repo.has_object(OSTree.ObjectType.FILE, checksum, None)
        if not known:
            stream = Gio.MemoryInputStream.new_from_bytes(GLib.Bytes.new(content))
            facts = FileFacts(uid, gid, stat.S_IFREG | mode, header.xattrs, len(content))
            write_content(self._repo, checksum, stream, facts)
        return digest.digest()

    def _large(self, attributes: Attributes, member: TarMember, tar: TarReader) -> bytes:
        require_reserve(self._repo, member.name, member.size)
        uid, gid, mode, _ = attributes
        xattrs = self._xattrs(attributes)
        writer = self._repo.write_regfile(None, uid, gid, stat.S_IFREG | mode, member.size, xattrs)
        for chunk in tar.content(member):
            writer.write_all(chunk, None)
        return bytes.fromhex(writer.finish(None))

    def _header(self, attributes: Attributes) -> _Header:
        known = self._headers.get(attributes)
        if known is None:
            uid, gid, mode, _ = attributes
            xattrs = self._xattrs(attributes)
            known = _Header(xattrs, content_header(uid, gid, stat.S_IFREG | mode, xattrs))
            _remember(self._headers, attributes, attributes, known)
        return known

    def _xattrs(self, attributes: Attributes) -> GLib.Variant:
        if not attributes.xattrs:
            return self._no_xattrs
        pairs = [(name + b"\0", value) for name, value in attributes.xattrs]
        return GLib.Variant(_XATTRS_TYPE, pairs)


class RepoDirtrees:
    """Dirtree objects of a repository; to write any, it is in a transaction."""

    def __init__(self, repo: OSTree.Repo) -> None:
        """Begin without having written anything."""
        self._repo = repo
        self._known: dict[bytes, bytes] = {}

    def read_dirtree(self, contents: bytes) -> DirtreeReader:
        """Return the dirtree object with the checksum `contents`."""
        _, tree = self._repo.load_variant(OSTree.ObjectType.DIR_TREE, contents.hex())
        return DirtreeReader(octets(tree))

    def new_dirtree(self) -> DirtreeWriter:
        """Return an empty dirtree object; what it has no place for in memory is in a file."""
        return DirtreeWriter(self._spool)

    def _spool(self) -> IO[bytes]:
        return tempfile.TemporaryFile(dir=temporary_directory(self._repo))

    def write_dirtree(self, dirtree: DirtreeWriter) -> bytes:
        """Write a dirtree object and return its checksum."""
        if dirtree.size_bytes > _SMALL_OBJECT_BYTES:
            # Mapped: the bindings would copy it twice, and it may be a hundred megabytes.
            with self._spool() as file:
                for piece in dirtree.pieces():
                    file.write(piece)
                file.flush()
                mapped = GLib.MappedFile.new_from_fd(file.fileno(), False)  # noqa: FBT003
                return self._write(mapped.get_bytes())
        content = b"".join(dirtree.pieces())
        known = self._known.get(content)
        if known is None:
            known = self._write(GLib.Bytes.new(content))
            if len(content) <= _REMEMBERED_BYTES:
                _remember(self._known, _PLAIN, content, known)
        return known

    def _write(self, content: GLib.Bytes) -> bytes:
        kind = GLib.VariantType(DIRTREE_TYPE)
        tree = GLib.Variant.new_from_bytes(kind, content, True)  # noqa: FBT003
        _, checksum = self._repo.write_metadata(OSTree.ObjectType.DIR_TREE, None, tree, None)
        return bytes(checksum)


class RepoDirectories(RepoDirtrees):
    """Writes the directories of a layer."""

    def __init__(self, repo: OSTree.Repo, objects: RepoObjects) -> None:
        """Write by way of `objects` what a directory's metadata is."""
        super().__init__(repo)
        self._objects = objects

    def implicit_metadata(self, uid: int, gid: int) -> bytes:
        """Write the metadata of a directory that no member describes."""
        return self._objects.directory(Attributes(uid, gid, _IMPLICIT_MODE, ()))


def temporary_directory(repo: OSTree.Repo) -> Path:
    """Return where the repository has its own temporary files, on its own file system."""
    return Path(f"/proc/self/fd/{repo.get_dfd()}") / "tmp"


def _remember(cache: dict[_Key, _Value], attributes: Attributes, key: _Key, value: _Value) -> None:
    """Keep a value, unless what is kept with it is large; a full cache begins anew."""
    if sum(len(value) for _, value in attributes.xattrs) > _REMEMBERED_XATTRS_BYTES:
        return
    if len(cache) >= _REMEMBERED:
        cache.clear()
    cache[key] = value


def _explained(error: GLib.Error, attributes: Attributes, name: str) -> Exception:
    """Return the error for a file that was not stored; extended attributes are its own fault."""
    if not attributes.xattrs or "xattr" not in error.message:
        return error
    return ImageContentError(
        f"{shown(name)} has an extended attribute that cannot be stored: {error.message}",
        hint="remove it in the image, or use a file system that supports it",
    )
