"""What reads layers: tars, their compression, the names in them."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bootcpy.model.layers.dirtree import DirtreeWriter
from bootcpy.model.layers.object_names import parse_object_name
from bootcpy.model.layers.tar_paths import map_link_target, map_path, normalise
from bootcpy.system.layers.filter import Attributes, build_layer, read_layer
from bootcpy.system.layers.spilled_sort import SpilledSort
from bootcpy.system.layers.tar import ByteCounter
from tools.fuzz.target import Target

if TYPE_CHECKING:
    from bootcpy.model.layers.tar_headers import TarMember
    from bootcpy.system.layers.tar_reader import TarReader

_CHECKSUM = bytes(32)
_ZSTD = b"\x28\xb5"  # a program reads these frames: a target of its own, since that takes longer


class _Nothing:
    """Where the files of a layer go that nobody keeps."""

    def directory(self, _attributes: Attributes) -> bytes:
        return _CHECKSUM

    def regular(self, _attributes: Attributes, member: "TarMember", tar: "TarReader") -> bytes:
        for _ in tar.content(member):
            pass
        return _CHECKSUM

    def symlink(self, _attributes: Attributes, _target: str) -> bytes:
        return _CHECKSUM

    def implicit_metadata(self, _uid: int, _gid: int) -> bytes:
        return _CHECKSUM

    def new_dirtree(self) -> DirtreeWriter:
        return DirtreeWriter()

    def write_dirtree(self, _dirtree: DirtreeWriter) -> bytes:
        return _CHECKSUM


def layer(content: bytes) -> None:
    """Take in a layer, compressed with gzip or not."""
    if not content.startswith(_ZSTD):
        _take_in(content)


def zstd(content: bytes) -> None:
    """Take in a layer compressed with zstd."""
    _take_in(_ZSTD + content.removeprefix(_ZSTD))


def _take_in(content: bytes) -> None:
    blob = os.memfd_create("layer")
    os.write(blob, content)
    os.lseek(blob, 0, os.SEEK_SET)
    directory, objects = Path(tempfile.gettempdir()), _Nothing()
    with SpilledSort(directory) as records:
        summary = read_layer(
            blob, objects, records, ByteCounter(), allow_nonusr=True, in_process=True
        )
        build_layer(records, objects, directory, hard_links=bool(summary.hard_links))


def layer_path(content: bytes) -> None:
    """Map a member's name, which must stay where it came to."""
    raw = content.decode(errors="surrogateescape")
    path = normalise(raw)
    assert normalise(path) == path  # noqa: S101 - what is fuzzed
    assert not path.startswith("/")  # noqa: S101
    assert ".." not in path.split("/")  # noqa: S101
    map_path(raw, allow_nonusr=False)
    map_link_target(raw)


def object_name(content: bytes) -> None:
    """Read the name of an object of an embedded commit."""
    parse_object_name(content.decode(errors="surrogateescape"))


TARGETS: dict[str, Target] = {
    "layer": layer,
    "layer-path": layer_path,
    "object-name": object_name,
    "zstd": zstd,
}
