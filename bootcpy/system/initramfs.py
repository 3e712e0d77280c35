"""Looking into an initramfs: which files it holds."""

import bz2
import gzip
import lzma
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from bootcpy.errors import ImageContentError
from bootcpy.model import cpio
from bootcpy.system.run import spawn

PREPARE_ROOT = "usr/lib/ostree/ostree-prepare-root"
_ZSTD, _GZIP, _XZ, _BZIP2 = b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"\xfd7zXZ\x00", b"BZh"
_LZ4 = b"\x02\x21\x4c\x18"
_MAGIC_BYTES = 6


def paths(initramfs: Path) -> Iterator[str]:
    """Yield the path of each file in `initramfs`, relative to its root.

    Archives without compression may stand in front (CPU microcode); what follows them may
    be compressed with zstd, gzip, xz, bzip2 or lz4.

    Raises:
        ImageContentError: it is not an initramfs, or is damaged.
        OSError: the file cannot be read.
    """
    with initramfs.open("rb") as file:
        while True:
            magic = _next_magic(file)
            if magic[:6] not in cpio.MAGICS:
                break
            yield from cpio.names(file)
        if not magic:
            return
        with _decompressed(file, magic) as stream:
            try:
                yield from cpio.names(stream)
            except (OSError, EOFError, lzma.LZMAError) as e:
                raise ImageContentError(f"{initramfs} is damaged: {e}") from e


def _next_magic(file: BinaryIO) -> bytes:
    """Skip the zero bytes between archives; leave `file` at what follows, and return its start."""
    while (byte := file.read(1)) == b"\0":
        pass
    magic = byte + file.read(_MAGIC_BYTES - 1)
    file.seek(-len(magic), 1)
    return magic


@contextmanager
def _decompressed(file: BinaryIO, magic: bytes) -> Generator[BinaryIO]:
    if magic.startswith(_GZIP):
        with gzip.GzipFile(fileobj=file) as stream:
            yield cast("BinaryIO", stream)
    elif magic.startswith(_XZ):
        with lzma.LZMAFile(file) as stream:
            yield cast("BinaryIO", stream)
    elif magic.startswith(_BZIP2):
        with bz2.BZ2File(file) as stream:
            yield cast("BinaryIO", stream)
    elif magic.startswith((_ZSTD, _LZ4)):
        with _piped("zstd" if magic.startswith(_ZSTD) else "lz4", file) as stream:
            yield stream
    else:
        raise ImageContentError("the initramfs is compressed in a way that is not known")


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
