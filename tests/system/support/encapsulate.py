"""Embedding an ostree commit in image layers, the way rpm-ostree and ostree-ext do.

Small and slow: everything is made in memory.
"""

import hashlib
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from bootcpy.ostree.base.bindings import GLib, OSTree
from tests.layers import Member, directory, file, hardlink, symlink, tar
from tests.system.support.oci_images import BOOTABLE, LayerBlob

REPO = "sysroot/ostree/repo"


class Attributes(Enum):
    """The three ways in which extended attributes have been written."""

    INLINE = "one file for each object"
    NAMED = "links to file-xattrs"
    FORMAT_0 = "links to xattrs/"


def object_path(checksum: str, kind: str) -> str:
    return f"{REPO}/objects/{checksum[:2]}/{checksum[2:]}.{kind}"


def octets(variant: GLib.Variant) -> bytes:
    return bytes(variant.get_data_as_bytes().get_data() or b"")


@dataclass
class Encapsulation:
    """The members that stand for one commit, to be divided into layers."""

    repo: OSTree.Repo
    commit: str
    attributes: Attributes = Attributes.INLINE
    _paths: dict[str, list[str]] = field(default_factory=dict)
    _trees: list[Member] = field(default_factory=list)
    _named: set[str] = field(default_factory=set)
    _written: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        _, variant, _ = self.repo.load_commit(self.commit)
        tree, meta = (octets(variant.get_child_value(index)).hex() for index in (6, 7))
        self._walk(tree, meta, "")

    def _walk(self, tree: str, meta: str, path: str) -> None:
        for checksum, kind, which in (
            (meta, "dirmeta", OSTree.ObjectType.DIR_META),
            (tree, "dirtree", OSTree.ObjectType.DIR_TREE),
        ):
            _, variant = self.repo.load_variant(which, checksum)
            if checksum not in self._written:
                self._written.add(checksum)
                self._trees.append(file(object_path(checksum, kind), octets(variant)))
        if path and path != "sysroot":  # the scaffold has that one
            self._trees.append(directory(f"./{_in_layer(path)}"))
        _, listing = self.repo.load_variant(OSTree.ObjectType.DIR_TREE, tree)
        for name, content in listing.unpack()[0]:
            place = f"{path}/{name}" if path else name
            self._paths.setdefault(bytes(content).hex(), []).append(place)
        for name, contents, metadata in listing.unpack()[1]:
            below = f"{path}/{name}" if path else name
            self._walk(bytes(contents).hex(), bytes(metadata).hex(), below)

    @property
    def files(self) -> list[str]:
        """The checksums of all content objects, sorted."""
        return sorted(self._paths)

    def commit_layer(self, remainder: list[str]) -> list[Member]:
        """Return the members of the commit layer; `remainder` are the files it holds."""
        _, variant, _ = self.repo.load_commit(self.commit)
        members = [*_scaffold(), file(object_path(self.commit, "commit"), octets(variant))]
        _, detached = self.repo.read_commit_detached_metadata(self.commit, None)
        if detached is not None:
            members.append(file(object_path(self.commit, "commitmeta"), octets(detached)))
        members += [*self._trees, directory("var/tmp", mode=0o1777)]
        return members + self._content(remainder)

    def chunk(self, checksums: list[str]) -> list[Member]:
        """Return the members of a chunk with these files."""
        return [*_scaffold(), *self._content(checksums)]

    def _content(self, checksums: list[str]) -> list[Member]:
        self._named.clear()
        return [member for checksum in checksums for member in self._object(checksum)]

    def _object(self, checksum: str) -> Iterator[Member]:
        _, stream, info, xattrs = self.repo.load_file(checksum, None)
        yield from self._xattrs(checksum, octets(xattrs))
        uid, gid, mode = (
            info.get_attribute_uint32(f"unix::{key}") for key in ("uid", "gid", "mode")
        )
        name = object_path(checksum, "file")
        if info.get_is_symlink():
            link = symlink(name, info.get_symlink_target() or "")
            link.header.uid, link.header.gid = uid, gid
            yield link
        else:
            size = info.get_size()
            content = bytes(stream.read_bytes(size, None).get_data() or b"") if size else b""
            yield file(name, content, mode=mode & 0o7777, uid=uid, gid=gid)
        for path in self._paths[checksum]:
            yield hardlink(_in_layer(path), name)

    def _xattrs(self, checksum: str, content: bytes) -> Iterator[Member]:
        digest = hashlib.sha256(content).hexdigest()
        if self.attributes is Attributes.INLINE:
            yield file(object_path(checksum, "file-xattrs-link"), content)
            return
        named, link = object_path(digest, "file-xattrs"), "file-xattrs-link"
        if self.attributes is Attributes.FORMAT_0:
            named, link = f"{REPO}/xattrs/{digest}", "file.xattrs"
        if digest not in self._named:
            self._named.add(digest)
            yield file(named, content)
        yield hardlink(object_path(checksum, link), named)

    def layers(self, chunks: int = 2) -> list[LayerBlob]:
        """Return the commit layer and `chunks` more, the files dealt out to all of them."""
        dealt = [self.files[index :: chunks + 1] for index in range(chunks + 1)]
        members = [self.commit_layer(dealt[0]), *(self.chunk(files) for files in dealt[1:])]
        return [LayerBlob.of_tar(tar(*layer, form=tarfile.GNU_FORMAT)) for layer in members]


Commit = Callable[..., Encapsulation]  # makes one; see the fixture `commit`


def _in_layer(path: str) -> str:
    """Return where a layer has what a commit has at `path`."""
    return path.removeprefix("usr/") if f"{path}/".startswith("usr/etc/") else path


def labels(layers: list[LayerBlob]) -> dict[str, str]:
    """Return the labels of an image whose embedded commit ends with the last of `layers`."""
    return {**BOOTABLE, "ostree.final-diffid": layers[-1].diff_id}


def _scaffold() -> Iterator[Member]:
    for path in ("sysroot", "sysroot/ostree", REPO, f"{REPO}/objects", f"{REPO}/objects/00"):
        yield directory(path)
    yield directory(f"{REPO}/refs/heads")
    yield file(f"{REPO}/config", b"[core]\nrepo_version=1\nmode=bare-split-xattrs\n")
