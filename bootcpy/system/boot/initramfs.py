"""Looking into an initramfs: which files it holds."""

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from bootcpy.errors import ImageContentError
from bootcpy.model.base.size import MIB
from bootcpy.model.boot import cpio
from bootcpy.system.process.run import spawn

PREPARE_ROOT = "usr/lib/ostree/ostree-prepare-root"
_ZSTD, _GZIP, _XZ, _BZIP2 = b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"\xfd7zXZ\x00", b"BZh"
_LZ4 = b"\x02\x21\x4c\x18"
_MAGIC_BYTES = 6
_READ_BYTES = 1 << 16
_XZ_MEMORY_BYTES = 128 * MIB  # twice what its highest level needs; a header may ask for 4 GiB


def paths(initramfs: Path) -> Iterator[str]:
    """Yield the path of each file in `initramfs`, relative to its root; see `paths_in`.

    Raises:
        ImageContentError: it is not an initramfs, or is damaged.
        OSError: the file cannot be read.
    """
    with initramfs.open("rb") as file:
        yield from paths_in(file)


def paths_in(file: BinaryIO) -> Iterator[str]:
    """Yield the path of each file in the initramfs that `file`, open at its start, is.

    Archives without compression may stand in front (CPU microcode); what follows them may
    be compressed with zstd, gzip, xz, bzip2 or lz4.

    Raises:
        ImageContentError: it is not an initramfs, is damaged, or holds too much.
        OSError: the file cannot be read.
    """
    allowance = cpio.Allowance()
    while True:
        magic = _next_magic(file)
        if magic[:6] not in cpio.MAGICS:
            break
        yield from cpio.names(file, allowance)
    if not magic:
        return
    with _decompressed(file, magic) as stream:
        try:
            yield from cpio.names(stream, allowance)
        except (OSError, EOFError, lzma.LZMAError, zlib.error) as e:
            raise ImageContentError(f"the initramfs is damaged: {e}") from e


def _next_magic(file: BinaryIO) -> bytes:
    """Skip the zero bytes between archives; leave `file` at what follows, and return its start."""
    while block := file.read(_READ_BYTES):
        if rest := block.lstrip(b"\0"):
            file.seek(-len(rest), os.SEEK_CUR)
            break
    magic = file.read(_MAGIC_BYTES)
    file.seek(-len(magic), os.SEEK_CUR)
    return magic


@contextmanager
def _decompressed(file: BinaryIO, magic: bytes) -> Generator[BinaryIO]:
    if magic.startswith(_GZIP):
        with gzip.GzipFile(fileobj=file) as stream:
            yield cast("BinaryIO", stream)
    elif magic.startswith(_XZ):
        with io.BufferedReader(_Xz(file), _READ_BYTES) as buffered:
            yield cast("BinaryIO", buffered)
    elif magic.startswith(_BZIP2):
        with bz2.BZ2File(file) as stream:
            yield cast("BinaryIO", stream)
    elif magic.startswith((_ZSTD, _LZ4)):
        with _piped("zstd" if magic.startswith(_ZSTD) else "lz4", file) as stream:
            yield stream
    else:
        raise ImageContentError(
            f"the initramfs has an unknown compression (it begins {magic.hex(' ')})",
            hint="compress it with zstd, gzip, xz, bzip2 or lz4",
        )


class _Xz(io.RawIOBase):
    """What `file` holds, decompressed; unlike lzma.LZMAFile's, its memory has a limit."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what readers pass
        while not self._decompressor.eof:
            block = self._file.read(_READ_BYTES) if self._decompressor.needs_input else b""
            if self._decompressor.needs_input and not block:
                raise EOFError("it ends too early")
            found = self._decompressor.decompress(block, max_length=len(buffer))
            if found:
                buffer[: len(found)] = found
                return len(found)
        return 0


@contextmanager
def _piped(program: str, file: BinaryIO) -> Generator[BinaryIO]:
    # The child shares the descriptor's offset, which buffering has moved ahead.
    os.lseek(file.fileno(), file.tell(), os.SEEK_SET)
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as stream:
        try:
            child = spawn([program, "-dc"], stdin=file.fileno(), stdout=write_end)
        finally:
            os.close(write_end)
        with child:
            try:
                yield stream
            finally:
                child.kill()
