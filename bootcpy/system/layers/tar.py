"""A layer's blob as a tar: decompressed and hashed on the way, read from one end to the other.

Nothing here holds more than a few buffers of the layer in memory.
"""

import fcntl
import hashlib
import io
import os
import struct
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from bootcpy.model.layers.limits import corrupt
from bootcpy.model.layers.tar_headers import TarMember
from bootcpy.system.layers.tar_reader import BUFFER_BYTES, TarReader
from bootcpy.system.process.child import forked
from bootcpy.system.process.run import spawn

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5"
_ZSTD_ARGV: Final = ("zstd", "-dcq")
_MAGIC_BYTES: Final = 2
_ZLIB_READS_GZIP: Final = 31  # `wbits` of zlib: the largest window, and gzip's header and trailer


class ByteCounter:
    """A number shared between processes; one writes, the others look."""

    def __init__(self) -> None:
        """Begin at zero."""
        import mmap  # noqa: PLC0415 - for imports only

        self._memory = mmap.mmap(-1, struct.calcsize("q"))

    @property
    def value(self) -> int:
        """The number of bytes counted so far."""
        count: int = struct.unpack("q", self._memory[:8])[0]
        return count

    @value.setter
    def value(self, count: int) -> None:
        self._memory[:8] = struct.pack("q", count)


class HashedReader(io.RawIOBase):
    """A reader that hashes all it reads, and counts it when it has a counter."""

    def __init__(
        self, source: io.RawIOBase, *, first: bytes = b"", counter: ByteCounter | None
    ) -> None:
        """Read `first`, what was taken from `source` already, then `source` itself."""
        self._source = source
        self._first = memoryview(first)
        self._counter = counter
        self._sha256 = hashlib.sha256()
        self._bytes = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill `buffer` with the next bytes, as many as there are, and return their number."""
        into = memoryview(buffer).cast("B")
        if self._first:
            count = min(len(into), len(self._first))
            into[:count] = self._first[:count]
            self._first = self._first[count:]
        else:
            count = self._source.readinto(into) or 0
        self._sha256.update(into[:count])
        if self._counter:
            self._bytes += count
            self._counter.value = self._bytes
        return count

    @property
    def digest(self) -> str:
        """The digest of what was read so far, `sha256:...`."""
        return f"sha256:{self._sha256.hexdigest()}"


class _BlockReader(io.RawIOBase):
    """A reader of blocks that are made as they are wanted."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._block = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        while not self._block:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._block = memoryview(block)
        into = memoryview(buffer).cast("B")
        count = min(len(into), len(self._block))
        into[:count] = self._block[:count]
        self._block = self._block[count:]
        return count


@contextmanager
def decompressed(
    blob_fd: int, counter: ByteCounter, *, in_process: bool = False
) -> Generator[HashedReader]:
    """Read a blob without its compression, gzip, zstd or none; closes the descriptor.

    `counter` follows the bytes taken from the blob. With `in_process`, gzip is not left to a
    child: that is slower for all but small blobs.

    Raises:
        ImageContentError: at the end, if the blob cannot be decompressed.
    """
    with open(blob_fd, "rb", buffering=0) as blob:
        first = _read_magic(blob)
        magic = first[:_MAGIC_BYTES]
        if magic == _GZIP and in_process:
            blocks = _inflated(_counted(blob, first, counter))
            yield HashedReader(_BlockReader(blocks), counter=None)
        elif magic == _GZIP:
            yield from _through_zlib(blob, first, counter)
        elif magic == _ZSTD:
            yield from _through_zstd(blob, first, counter)
        else:
            yield HashedReader(blob, first=first, counter=counter)


def _through_zlib(blob: io.FileIO, first: bytes, counter: ByteCounter) -> Generator[HashedReader]:
    """Yield the reader of a blob that a child decompresses."""
    read_fd, write_fd = wide_pipe()
    blocks = _inflated(_counted(blob, first, counter))
    with (
        open(read_fd, "rb", buffering=0) as tar,  # noqa: PTH123 - a descriptor
        forked(lambda: _feed(blocks, write_fd), close=[read_fd]) as child,
    ):
        os.close(write_fd)
        blob.close()  # it is the child's alone: who delivers it is to see when that fails
        yield HashedReader(tar, counter=None)
        tar.close()
        child.result()


def _through_zstd(blob: io.FileIO, first: bytes, counter: ByteCounter) -> Generator[HashedReader]:
    """Yield the reader of a blob that the program zstd decompresses, fed by a child."""
    in_read, in_write = os.pipe()
    out_read, out_write = wide_pipe()
    process = spawn(_ZSTD_ARGV, stdin=in_read, stdout=out_write)
    os.close(in_read)
    os.close(out_write)
    blocks = _counted(blob, first, counter)
    with (
        open(out_read, "rb", buffering=0) as tar,  # noqa: PTH123 - a descriptor
        forked(lambda: _feed(blocks, in_write), close=[out_read]) as child,
    ):
        os.close(in_write)
        blob.close()
        try:
            yield HashedReader(tar, counter=None)
        except BaseException:
            process.kill()  # it may wait for a source that is slow
            raise
        finally:
            tar.close()
            failed = process.wait() != 0
        child.result()
    if failed:
        raise corrupt("the layer is corrupt: zstd cannot decompress it")


def wide_pipe() -> tuple[int, int]:
    """Make a pipe that holds as much as a buffer, so that its ends seldom wait for each other."""
    read_fd, write_fd = os.pipe()
    with suppress(PermissionError):  # the user has wide pipes enough; a narrow one will do
        fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, BUFFER_BYTES)
    return read_fd, write_fd


def _read_magic(blob: io.FileIO) -> bytes:
    """Return the first bytes, enough of them to tell the compression by."""
    first = blob.read(BUFFER_BYTES) or b""
    while first and len(first) < _MAGIC_BYTES and (more := blob.read(BUFFER_BYTES)):
        first += more
    return first


def _counted(source: io.FileIO, first: bytes, counter: ByteCounter) -> Iterator[bytes]:
    """Yield `first` and all of `source`, counting."""
    done = 0
    block = first
    while block:
        done += len(block)
        counter.value = done
        yield block
        block = source.read(BUFFER_BYTES) or b""


def _inflated(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress gzip, one member after the other, as gzip(1) does.

    Raises:
        ImageContentError: it is corrupt or truncated.
    """
    inflater = zlib.decompressobj(_ZLIB_READS_GZIP)
    try:
        for block in blocks:
            rest = block
            while rest:
                if inflater.eof:
                    rest = rest.lstrip(b"\0")  # padding
                    if not rest:
                        break
                    inflater = zlib.decompressobj(_ZLIB_READS_GZIP)
                # Bounded: a small block may inflate to a thousand times its size.
                yield inflater.decompress(rest, BUFFER_BYTES)
                rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
    except zlib.error as e:
        raise corrupt(f"the layer is corrupt: it cannot be decompressed: {e}") from e
    if not inflater.eof:
        raise corrupt("the layer is corrupt: its gzip stream is truncated")


def _feed(blocks: Iterator[bytes], sink: int) -> None:
    """Write `blocks` to the descriptor `sink`, until its reader is gone."""
    try:
        with open(sink, "wb", buffering=0) as out:
            for block in blocks:
                view = memoryview(block)
                while view:
                    view = view[out.write(view) :]
    except BrokenPipeError:
        return  # why the reader is gone is what will be reported


@contextmanager
def opened_tar(source: HashedReader) -> Generator[TarReader]:
    """Open a tar for one pass; `source` is read to its very end when the context ends.

    Only then is its digest that of the whole.

    Raises:
        ImageContentError: it is truncated, corrupt or not a tar.
    """
    tar = TarReader(source)
    yield tar
    tar.require_end()
    while source.read(BUFFER_BYTES):
        pass  # what follows the archive's end belongs to the digest


def members(tar: TarReader) -> Iterator[TarMember]:
    """Yield the members of a tar opened for one pass.

    Raises:
        ImageContentError: a header is malformed.
    """
    while (member := tar.next()) is not None:
        yield member
