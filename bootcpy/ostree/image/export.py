"""Images out of the repository: their layers as tars again, and their names."""

import stat
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bootcpy.errors import ImageUnavailableError
from bootcpy.model.image.oci import ImageConfig, Manifest, classify_layers
from bootcpy.model.image.reference import ImageReference
from bootcpy.model.image.role import LayerRole
from bootcpy.model.layers.tree import TreeRef
from bootcpy.ostree.base.bindings import OSTree
from bootcpy.ostree.base.objects import RepoTrees, commit_metadata, commit_tree, read_xattrs
from bootcpy.ostree.base.repo import explained, file_object
from bootcpy.ostree.image.metadata import KEY_CONFIG, KEY_MANIFEST
from bootcpy.ostree.image.refs import find_image_commit, image_of, list_image_refs
from bootcpy.ostree.image.verified import find_layers
from bootcpy.ostree.layers.commits import read_traits

_XATTR = "SCHILY.xattr."  # as GNU tar, bsdtar and podman write them


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image as it is kept: its configuration, and a commit for each layer."""

    config_text: str
    layers: tuple[str, ...]


def list_images(repo: OSTree.Repo) -> tuple[str, ...]:
    """Return the images in the repository, in the form `docker://NAME`.

    Raises:
        BootcpyError: the repository cannot be read.
    """
    images = {image_of(ref) for ref in list_image_refs(repo)}
    return tuple(sorted(str(image) for image in images if image))


def find_stored(repo: OSTree.Repo, reference: ImageReference) -> StoredImage:
    """Return the image as it is kept in the repository.

    The layers that an embedded ostree commit was made of are one here: the whole tree. So
    are those of an image that another program imported, which nobody here has checked.

    Raises:
        ImageUnavailableError: it is not there.
    """
    with explained(f"{reference} cannot be read from the repository"):
        commit = find_image_commit(repo, reference)
        if commit is None:
            raise ImageUnavailableError(
                f"{reference} is not in the repository", hint="see `bootc image list`"
            )
        metadata = commit_metadata(repo, commit)
        manifest_text, config_text = (str(metadata[key]) for key in (KEY_MANIFEST, KEY_CONFIG))
        plan = classify_layers(Manifest.parse(manifest_text), ImageConfig.parse(config_text))
        checked, _ = find_layers(repo, plan, LayerRole.TREE)
    layers = (commit,) if checked is None or checked.base else checked.layers
    return StoredImage(config_text=config_text, layers=layers)


def write_tar(repo: OSTree.Repo, repo_path: Path, commit: str, file: IO[bytes]) -> None:
    """Write what `commit` of the bare repository holds as the tar of a layer; needs root.

    /usr/etc becomes /etc again, and whiteouts are what they were. Directories that the
    layer did not describe are left to the layers below.
    """
    with (
        explained(f"commit {commit} cannot be read"),
        tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        writer = _Writer(
            repo=repo,
            repo_path=repo_path,
            tar=tar,
            implicit=frozenset(read_traits(repo, commit).implicit or ()),
        )
        writer.add_directory("", commit_tree(repo, commit))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writer:
    """Adds objects to a tar, below their names in the tree."""

    repo: OSTree.Repo
    repo_path: Path
    tar: tarfile.TarFile
    implicit: frozenset[str]

    def add_directory(self, path: str, tree: TreeRef) -> None:
        """Add the directory `path` and what is in it."""
        if path not in self.implicit:
            self.tar.addfile(self._directory(path, tree.meta))
        listing = RepoTrees(self.repo).load(tree.contents)
        for name, checksum in sorted(listing.files.items()):
            self._add_file(f"{path}/{name}".lstrip("/"), checksum)
        self.tar.getmembers().clear()  # which it keeps to look up again, and nobody will
        for name, child in sorted(listing.dirs.items()):
            self.add_directory(f"{path}/{name}".lstrip("/"), child)

    def _directory(self, path: str, meta: str) -> tarfile.TarInfo:
        _, variant = self.repo.load_variant(OSTree.ObjectType.DIR_META, meta)
        # The numbers are big-endian whatever the machine, and GI does not swap them.
        uid, gid, mode = (
            int.from_bytes(variant.get_child_value(i).get_uint32().to_bytes(4, "little"), "big")
            for i in range(3)
        )
        pairs = variant.get_child_value(3).unpack()
        member = _member(path, mode, uid, gid)
        member.type = tarfile.DIRTYPE
        member.pax_headers = _xattr_headers(
            (bytes(name).rstrip(b"\0"), bytes(value)) for name, value in pairs
        )
        return member

    def _add_file(self, path: str, checksum: str) -> None:
        # In a bare repository an object is the file itself, with all that belongs to it.
        stored = file_object(self.repo_path, checksum)
        found = stored.lstat()
        member = _member(path, found.st_mode, found.st_uid, found.st_gid)
        member.pax_headers = _xattr_headers(read_xattrs(stored))
        if stat.S_ISLNK(found.st_mode):
            member.type, member.linkname = tarfile.SYMTYPE, str(stored.readlink())
            self.tar.addfile(member)
            return
        member.size = found.st_size
        with stored.open("rb") as content:
            self.tar.addfile(member, content)


def _member(path: str, mode: int, uid: int, gid: int) -> tarfile.TarInfo:
    moved = path.removeprefix("usr/") if f"{path}/".startswith("usr/etc/") else path
    member = tarfile.TarInfo(moved or "./")
    member.mode, member.uid, member.gid = stat.S_IMODE(mode), uid, gid
    return member


def _xattr_headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    # tarfile writes headers as UTF-8 with surrogates for the bytes that are none.
    return {
        f"{_XATTR}{name.decode()}": value.decode("utf-8", "surrogateescape")
        for name, value in pairs
    }
