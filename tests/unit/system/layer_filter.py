"""Running the filter of layers between files, for tests."""

import io
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

from bootcpy.system.layer_stream import LayerSummary, filter_layer
from bootcpy.system.layer_tar import ByteCounter
from tests.layers import (
    Member,
    tar,
)


@dataclass(frozen=True)
class Filtered:
    summary: LayerSummary
    shards: list[bytes]
    counted: int

    @property
    def members(self) -> dict[str, tarfile.TarInfo]:
        """The members of all shards by name; a later one of the same name wins, as in libostree."""
        found: dict[str, tarfile.TarInfo] = {}
        for shard in self.shards:
            with tarfile.open(fileobj=io.BytesIO(shard)) as opened:
                found |= {member.name.removeprefix("./"): member for member in opened}
        return found

    def content(self, path: str) -> bytes:
        for shard in self.shards:
            with tarfile.open(fileobj=io.BytesIO(shard)) as opened:
                if f"./{path}" in opened.getnames() and (stream := opened.extractfile(f"./{path}")):
                    return stream.read()
        raise AssertionError(path)


class Filter:
    """Runs the filter between files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(self, blob: bytes, *, shards: int = 1, allow_nonusr: bool = True) -> Filtered:
        source = self._directory / "blob"
        source.write_bytes(blob)
        outputs = [self._directory / f"shard-{index}" for index in range(shards)]
        fds = [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for path in outputs]
        counter = ByteCounter()
        summary = filter_layer(
            os.open(source, os.O_RDONLY), fds, counter, allow_nonusr=allow_nonusr
        )
        return Filtered(summary, [path.read_bytes() for path in outputs], counter.value)

    def members(self, *members: Member, shards: int = 1, allow_nonusr: bool = True) -> Filtered:
        return self(tar(*members), shards=shards, allow_nonusr=allow_nonusr)
