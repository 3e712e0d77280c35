"""Taking in layers without a repository, for tests: what comes of one is kept in memory."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from bootcpy.model.layers.dirtree import DirtreeWriter, parse_dirtree
from bootcpy.model.layers.tar_headers import TarMember
from bootcpy.model.layers.tree import TreeRef
from bootcpy.system.layers.filter import Attributes, LayerSummary, build_layer, read_layer
from bootcpy.system.layers.spilled_sort import SpilledSort
from bootcpy.system.layers.tar import ByteCounter
from bootcpy.system.layers.tar_reader import TarReader
from tests.layers import Member, tar


@dataclass(frozen=True)
class Node:
    """A file or directory: `content` is bytes, a link's target, or None for a directory."""

    content: bytes | str | None
    mode: int = 0
    uid: int = 0
    gid: int = 0
    xattrs: tuple[tuple[bytes, bytes], ...] = ()


class MemoryObjects:
    """Objects in a dictionary, by checksums of what they are."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, Node] = {}
        self.dirtrees: dict[bytes, bytes] = {}

    def _keep(self, content: bytes | str | None, attributes: Attributes) -> bytes:
        uid, gid, mode, xattrs = attributes
        node = Node(content, mode, uid, gid, xattrs)
        checksum = hashlib.sha256(repr(node).encode()).digest()
        self.nodes[checksum] = node
        return checksum

    def directory(self, attributes: Attributes) -> bytes:
        return self._keep(None, attributes)

    def regular(self, attributes: Attributes, member: TarMember, tar: TarReader) -> bytes:
        return self._keep(b"".join(tar.content(member)), attributes)

    def symlink(self, attributes: Attributes, target: str) -> bytes:
        return self._keep(target, attributes)

    def new_dirtree(self) -> DirtreeWriter:
        return DirtreeWriter()

    def write_dirtree(self, dirtree: DirtreeWriter) -> bytes:
        content = b"".join(dirtree.pieces())
        checksum = hashlib.sha256(content).digest()
        self.dirtrees[checksum] = content
        return checksum

    def implicit_metadata(self, uid: int, gid: int) -> bytes:
        return self.directory(Attributes(uid, gid, 0o755, ()))

    def walk(self, ref: TreeRef, path: str = "") -> dict[str, Node]:
        """Return what is in a directory, and itself, by path; the root's path is empty."""
        listing = parse_dirtree(self.dirtrees[bytes.fromhex(ref.contents)])
        found = {path: self.nodes[bytes.fromhex(ref.meta)]}
        above = f"{path}/" if path else ""
        for name, checksum in listing.files.items():
            found[f"{above}{name}"] = self.nodes[bytes.fromhex(checksum)]
        for name, below in listing.dirs.items():
            found |= self.walk(below, f"{above}{name}")
        return found


@dataclass(frozen=True)
class Filtered:
    summary: LayerSummary
    implicit: set[str]
    tree: dict[str, Node]
    counted: int

    def content(self, path: str) -> bytes | str | None:
        return self.tree[path].content


class Filter:
    """Takes in layers; its sorts hold next to nothing in memory."""

    def __init__(self, directory: Path, *, budget_bytes: int = 200) -> None:
        self._directory = directory
        self._budget = budget_bytes

    def __call__(
        self, blob: bytes, *, allow_nonusr: bool = True, in_process: bool = False
    ) -> Filtered:
        source = self._directory / "blob"
        source.write_bytes(blob)
        fd = os.open(source, os.O_RDONLY)
        return self.from_fd(fd, allow_nonusr=allow_nonusr, in_process=in_process)

    def from_fd(self, fd: int, *, allow_nonusr: bool = True, in_process: bool = False) -> Filtered:
        counter, objects = ByteCounter(), MemoryObjects()
        with SpilledSort(self._directory, budget_bytes=self._budget) as records:
            summary = read_layer(
                fd, objects, records, counter, allow_nonusr=allow_nonusr, in_process=in_process
            )
            tree = build_layer(
                records, objects, self._directory, hard_links=bool(summary.hard_links)
            )
        root = TreeRef(tree.contents.hex(), tree.meta.hex())
        return Filtered(summary, set(tree.implicit), objects.walk(root), counter.value)

    def members(self, *members: Member, allow_nonusr: bool = True) -> Filtered:
        return self(tar(*members), allow_nonusr=allow_nonusr)
