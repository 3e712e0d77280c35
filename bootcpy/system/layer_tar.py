"""A layer's blob as a tar: decompressed and hashed on the way, read from one end to the other.

Nothing here holds more than a few buffers of the layer in memory.
"""

import fcntl
import hashlib
import io
import os
import struct
import tarfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from tarfile import (  # type: ignore[attr-defined] # the stub leaves two out
    EmptyHeaderError,
    EOFHeaderError,
    HeaderError,
    ReadError,
    StreamError,
)
from typing import TYPE_CHECKING, Final, Self, TypeVar

from bootcpy.errors import ImageContentError
from bootcpy.model.size import MIB
from bootcpy.system.child import Child
from bootcpy.system.run import spawn

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BUFFER_BYTES: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5"
_ZSTD_ARGV: Final = ("zstd", "-dcq")
_MAGIC_BYTES: Final = 2
_ZLIB_READS_GZIP: Final = 31  # `wbits` of zlib: the largest window, and gzip's header and trailer
# A name or a PAX header is read into memory whole; no real one comes near this.
_LARGEST_HEADER: Final = 8 * MIB
_HEADER_TYPES: Final = frozenset({
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
})
# What tarfile lets escape from its parsing of hostile headers.
_MALFORMED: Final = (tarfile.TarError, ValueError, OverflowError, LookupError, EOFError)


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
        self, source: io.FileIO, *, first: bytes = b"", counter: ByteCounter | None
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


@contextmanager
def decompressed(blob_fd: int, counter: ByteCounter) -> Generator[HashedReader]:
    """Read a blob without its compression, gzip, zstd or none; closes the descriptor.

    `counter` follows the bytes taken from the blob.

    Raises:
        ImageContentError: at the end, if the blob cannot be decompressed.
    """
    with open(blob_fd, "rb", buffering=0) as blob:
        first = _read_magic(blob)
        magic = first[:_MAGIC_BYTES]
        if magic == _GZIP:
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
        Child(lambda: _feed(blocks, write_fd), close=[read_fd]) as child,
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
        Child(lambda: _feed(blocks, in_write), close=[out_read]) as child,
    ):
        os.close(in_write)
        blob.close()
        try:
            yield HashedReader(tar, counter=None)
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
def opened_tar(source: HashedReader) -> Generator[tarfile.TarFile]:
    """Open a tar for one pass; `source` is read to its very end when the context ends.

    Only then is its digest that of the whole.

    Raises:
        ImageContentError: it is truncated, corrupt or not a tar.
    """
    try:
        with _open(source) as tar:
            yield tar
            _require_end(tar)
    except tarfile.TarError as e:
        raise corrupt(f"the layer is not a valid tar archive: {e}") from e
    while source.read(BUFFER_BYTES):
        pass  # what follows the archive's end belongs to the digest


def _open(source: HashedReader) -> tarfile.TarFile:
    try:
        return _open_stream(source)
    except _MALFORMED as e:
        if not source.read(1) and "empty" in str(e):  # not a single byte: a layer without files
            return _open_stream(io.BytesIO(bytes(2 * tarfile.BLOCKSIZE)))
        raise corrupt(f"the layer is not a valid tar archive: {e}") from e


class _StrictInfo(tarfile.TarInfo):
    """A header that is refused when it is garbage, or reading it would use up the memory.

    tarfile would take garbage for the end of the archive, and read names of any length.
    """

    @classmethod
    def fromtarfile(cls, tarfile: "tarfile.TarFile") -> Self:
        try:
            return super().fromtarfile(tarfile)
        except (EmptyHeaderError, EOFHeaderError):  # nothing more, or the zeros of the end
            raise
        except HeaderError as e:
            raise ReadError(str(e)) from e

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        return _bounded(super().frombuf(buf, encoding, errors))

    # What newer Pythons (3.13.5, and security updates of older ones) call in its place.
    @classmethod
    def _frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str, **options: bool) -> Self:
        made: Self = super()._frombuf(buf, encoding, errors, **options)  # type: ignore[misc]
        return _bounded(made)


_Info = TypeVar("_Info", bound=tarfile.TarInfo)


def _bounded(header: _Info) -> _Info:
    if header.size < 0 or (header.type in _HEADER_TYPES and header.size > _LARGEST_HEADER):
        raise tarfile.ReadError(f"a header claims to have {header.size} bytes")
    return header


class _ForwardReader:
    """What tarfile asks of a file, for a source that cannot go back.

    Its own reader of streams copies the rest of its buffer for every header.
    """

    def __init__(self, source: io.RawIOBase | io.BytesIO) -> None:
        self._source = io.BufferedReader(source, BUFFER_BYTES)
        self._position = 0

    def read(self, size: int) -> bytes:
        chunk = self._source.read(size)
        self._position += len(chunk)
        return chunk

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return False

    def seek(self, position: int) -> int:
        if position < self._position:
            raise StreamError("seeking backwards is not allowed")
        while self._position < position and self.read(min(position - self._position, BUFFER_BYTES)):
            pass
        return self._position


def _open_stream(source: io.RawIOBase | io.BytesIO) -> tarfile.TarFile:
    return tarfile.TarFile(
        fileobj=_ForwardReader(source),  # type: ignore[arg-type] # it has what reading needs
        mode="r",
        encoding="utf-8",
        errors="surrogateescape",
        tarinfo=_StrictInfo,
    )


def members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the members of a tar opened for one pass, and forget each.

    Raises:
        ImageContentError: a header is malformed.
    """
    while True:
        try:
            member = tar.next()
        except _MALFORMED as e:
            raise corrupt(f"the layer is not a valid tar archive: {e}") from e
        if member is None:
            return
        yield member
        tar.members.clear()  # type: ignore[attr-defined] # else all headers stay in memory


def _require_end(tar: tarfile.TarFile) -> None:
    """Refuse anything but zeros after the last member: tarfile takes garbage for the end."""
    stream = tar.fileobj
    assert stream is not None  # noqa: S101 - only a closed archive has none
    while chunk := stream.read(BUFFER_BYTES):
        if chunk.count(0) != len(chunk):
            raise corrupt("the layer is corrupt: there is garbage after its members")


def corrupt(what: str) -> ImageContentError:
    """Return the error for a blob that is damaged: `what` says how it shows."""
    return ImageContentError(what, hint="the image is corrupt; pull, copy or build it again")
