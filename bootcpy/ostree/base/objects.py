"""Objects of the repository: directory trees, their metadata, and commits."""

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, NamedTuple

from bootcpy.errors import NoSpaceError
from bootcpy.model.base.size import format_size
from bootcpy.model.layers.dirtree import parse_dirtree, serialise_dirtree
from bootcpy.model.layers.limits import shown
from bootcpy.model.layers.tree import Directory, Listing, TreeRef
from bootcpy.ostree.base.bindings import Gio, GLib, OSTree

_CHUNK_BYTES = 1 << 20
DIRTREE_TYPE = "(a(say)a(sayay))"
_NO_XATTRS: tuple[tuple[bytes, bytes], ...] = ()
# Set by the overlay driver on what it stores; they mean nothing in an image.
OVERLAY_XATTRS = b"trusted.overlay."


class FileFacts(NamedTuple):
    """What belongs to a regular file beside its content; `mode` includes the file type."""

    uid: int
    gid: int
    mode: int
    xattrs: GLib.Variant
    size_bytes: int


class RepoTrees:
    """Dirtree objects of a repository, as `bootcpy.model.layers.tree` wants them."""

    def __init__(self, repo: OSTree.Repo) -> None:
        """Read from and write to `repo`, which is in a transaction when anything is stored."""
        self._repo = repo

    def load(self, contents: str) -> Listing:
        """Return what the dirtree object `contents` holds."""
        _, tree = self._repo.load_variant(OSTree.ObjectType.DIR_TREE, contents)
        return parse_dirtree(octets(tree))

    def store(self, listing: Listing) -> str:
        """Write a dirtree object, names in byte order as libostree demands."""
        content = GLib.Bytes.new(serialise_dirtree(listing))
        kind = GLib.VariantType(DIRTREE_TYPE)
        tree = GLib.Variant.new_from_bytes(kind, content, True)  # noqa: FBT003
        _, checksum = self._repo.write_metadata(OSTree.ObjectType.DIR_TREE, None, tree, None)
        return bytes(checksum).hex()


def octets(variant: GLib.Variant) -> bytes:
    """Return the bytes a variant is stored as."""
    return bytes(variant.get_data_as_bytes().get_data() or b"")


def _checksum(entry: GLib.Variant, index: int) -> str:
    return octets(entry.get_child_value(index)).hex()


def write_directory_metadata(
    repo: OSTree.Repo,
    *,
    uid: int,
    gid: int,
    mode: int,
    xattrs: Iterable[tuple[bytes, bytes]] = _NO_XATTRS,
) -> str:
    """Write a dirmeta object and return its checksum; `mode` includes the file type."""
    pairs = [(name + b"\0", value) for name, value in sorted(xattrs)]
    # The variant stores its numbers big-endian whatever the machine.
    meta = GLib.Variant("(uuua(ayay))", (_swap(uid), _swap(gid), _swap(mode), pairs))
    _, checksum = repo.write_metadata(OSTree.ObjectType.DIR_META, None, meta, None)
    return bytes(checksum).hex()


def _swap(number: int) -> int:
    return int.from_bytes(number.to_bytes(4, "big"), "little")


def read_xattrs(path: Path) -> list[tuple[bytes, bytes]]:
    """Return a file's extended attributes by name, without the overlay driver's.

    Those without a value are left out, as they are by libostree when it reads a file.
    """
    names = (os.fsencode(name) for name in os.listxattr(path, follow_symlinks=False))
    found = (
        (name, os.getxattr(path, name, follow_symlinks=False))
        for name in sorted(names)
        if not name.startswith(OVERLAY_XATTRS)
    )
    return [(name, value) for name, value in found if value]


def store_file(repo: OSTree.Repo, path: Path) -> str:
    """Store a regular file or a symbolic link and return its content checksum.

    The checksum is made here, with OpenSSL, several times faster than libostree's own;
    what libostree then writes is the same content object.
    """
    found = path.lstat()
    is_link = stat.S_ISLNK(found.st_mode)
    xattrs = GLib.Variant("a(ayay)", [(name + b"\0", value) for name, value in read_xattrs(path)])
    if is_link:
        link: str = repo.write_symlink(
            None, found.st_uid, found.st_gid, xattrs, str(path.readlink()), None
        )
        return link
    mode = stat.S_IFREG | stat.S_IMODE(found.st_mode)
    with path.open("rb", buffering=0) as content:
        checksum = _content_checksum(content, found.st_uid, found.st_gid, mode, xattrs)
    _, known = repo.has_object(OSTree.ObjectType.FILE, checksum, None)
    if not known:
        file = Gio.File.new_for_path(str(path)).read(None)
        facts = FileFacts(found.st_uid, found.st_gid, mode, xattrs, found.st_size)
        write_content(repo, checksum, file, facts)
    return checksum


def _content_checksum(
    content: IO[bytes], uid: int, gid: int, mode: int, xattrs: GLib.Variant
) -> str:
    """Return the checksum of a content object: of a header with the metadata, then the bytes."""
    digest = hashlib.sha256(content_header(uid, gid, mode, xattrs))
    while chunk := content.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def content_header(uid: int, gid: int, mode: int, xattrs: GLib.Variant) -> bytes:
    """Return what the checksum of a content object begins with; `mode` includes the file type.

    It is framed as `ostree_raw_file_to_content_stream` writes it for hashing: the header's
    length, big-endian, padded to eight bytes, then the header.
    """
    fields = GLib.Variant.new_tuple(
        *(GLib.Variant("u", number) for number in (_swap(uid), _swap(gid), _swap(mode), 0)),
        GLib.Variant("s", ""),
        xattrs,
    )
    header = octets(fields)
    return len(header).to_bytes(4, "big") + bytes(4) + header


def write_content(
    repo: OSTree.Repo, checksum: str, stream: Gio.InputStream, facts: FileFacts
) -> None:
    """Write a regular file under the checksum that its content object is known to have."""
    info = Gio.FileInfo()
    info.set_file_type(Gio.FileType.REGULAR)
    info.set_size(facts.size_bytes)
    for name, value in (("uid", facts.uid), ("gid", facts.gid), ("mode", facts.mode)):
        info.set_attribute_uint32(f"unix::{name}", value)
    _, content, size_bytes = OSTree.raw_file_to_content_stream(stream, info, facts.xattrs, None)
    repo.write_content_trusted(checksum, content, size_bytes, None)


def require_reserve(repo: OSTree.Repo, name: str, size_bytes: int) -> None:
    """Refuse to begin a file that would take what the repository is to leave free.

    libostree does so where it is given a whole file, and not where one is written by and by.

    Raises:
        NoSpaceError: less than `min-free-space-percent` or `-size` would be left.
    """
    _, reserved_bytes = repo.get_min_free_space_bytes()
    found = os.fstatvfs(repo.get_dfd())
    if reserved_bytes and found.f_bfree * found.f_frsize - size_bytes < reserved_bytes:
        raise NoSpaceError(
            f"{shown(name)} of {format_size(size_bytes)} would leave less than the "
            "repository's min-free-space-percent or min-free-space-size"
        )


def write_metadata_of(repo: OSTree.Repo, directory: Path) -> str:
    """Write the dirmeta of a directory on disk, without the overlay driver's attributes."""
    found = directory.stat()
    xattrs = read_xattrs(directory)
    return write_directory_metadata(
        repo,
        uid=found.st_uid,
        gid=found.st_gid,
        mode=stat.S_IFDIR | stat.S_IMODE(found.st_mode),
        xattrs=xattrs,
    )


def commit_tree(repo: OSTree.Repo, commit: str) -> TreeRef:
    """Return the root directory of `commit`."""
    _, variant, _ = repo.load_commit(commit)
    return root_of(variant)


def root_of(commit: GLib.Variant) -> TreeRef:
    """Return the root directory of a commit, given as the variant that it is stored as."""
    return TreeRef(_checksum(commit, 6), _checksum(commit, 7))


def open_tree(repo: OSTree.Repo, commit: str) -> Directory:
    """Return the root directory of `commit`, to look into or to change."""
    return Directory.from_ref(RepoTrees(repo), commit_tree(repo, commit))


def commit_metadata(repo: OSTree.Repo, commit: str) -> dict[str, object]:
    """Return the metadata of `commit`."""
    _, variant, _ = repo.load_commit(commit)
    metadata: dict[str, object] = variant.get_child_value(0).unpack()
    return metadata


def write_commit(
    repo: OSTree.Repo,
    tree: TreeRef,
    *,
    metadata: Mapping[str, GLib.Variant],
    parent: str | None = None,
    timestamp_s: int | None = None,
) -> str:
    """Write a commit of `tree` and return its checksum; the time is now unless given."""
    root = OSTree.MutableTree.new_from_checksum(repo, tree.contents, tree.meta)
    _, file = repo.write_mtree(root, None)
    assert isinstance(file, OSTree.RepoFile)  # noqa: S101 - the stub says File
    variant = GLib.Variant("a{sv}", dict(metadata))
    if timestamp_s is None:
        _, commit = repo.write_commit(parent, None, None, variant, file, None)
    else:
        _, commit = repo.write_commit_with_time(
            parent, None, None, variant, file, timestamp_s, None
        )
    return commit
