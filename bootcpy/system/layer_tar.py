"""A layer's blob as a tar: decompressed and hashed on the way, read from one end to the other.

Nothing here holds more than a buffer of the layer in memory.
"""

import hashlib
import io
import os
import struct
import tarfile
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from tarfile import (  # type: ignore[attr-defined] # the stub leaves two out
    EmptyHeaderError,
    EOFHeaderError,
    HeaderError,
    ReadError,
)
from typing import IO, Final, Self, TypeVar

from bootcpy.errors import ImageContentError
from bootcpy.model.size import MIB
from bootcpy.system.run import spawn

BUFFER_BYTES: Final = 1 << 20
_DECOMPRESSORS: Final = {b"\x1f\x8b": ("gzip", "-dc"), b"\x28\xb5": ("zstd", "-dcq")}
_MAGIC_BYTES: Final = 2
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
        self, source: IO[bytes], *, first: bytes = b"", counter: ByteCounter | None
    ) -> None:
        """Read `first`, what was taken from `source` already, then `source` itself."""
        self._source = source
        self._first = first
        self._counter = counter
        self._sha256 = hashlib.sha256()
        self._bytes = 0

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, fewer than `size` if that is what there is; empty at the end."""
        if self._first:
            chunk, self._first = self._first, b""
        else:
            chunk = self._source.read(size) or b""
        self._sha256.update(chunk)
        if self._counter:
            self._bytes += len(chunk)
            self._counter.value = self._bytes
        return chunk

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
        argv = _DECOMPRESSORS.get(first[:_MAGIC_BYTES])
        if argv is None:
            yield HashedReader(blob, first=first, counter=counter)
            return
        in_read, in_write = os.pipe()
        out_read, out_write = os.pipe()
        process = spawn(argv, stdin=in_read, stdout=out_write)
        os.close(in_read)
        os.close(out_write)
        pump = threading.Thread(target=_pump, args=(blob, first, in_write, counter))
        pump.start()
        with open(out_read, "rb", buffering=0) as tar:  # noqa: PTH123 - a descriptor
            try:
                yield HashedReader(tar, counter=None)
            finally:
                tar.close()
                failed = process.wait() != 0
                pump.join()
        if failed:
            raise _corrupt(f"the layer is corrupt: {argv[0]} cannot decompress it")


def _read_magic(blob: IO[bytes]) -> bytes:
    """Return the first bytes, enough of them to tell the compression by."""
    first = blob.read(BUFFER_BYTES)
    while first and len(first) < _MAGIC_BYTES and (more := blob.read(BUFFER_BYTES)):
        first += more
    return first


def _pump(source: IO[bytes], first: bytes, sink: int, counter: ByteCounter) -> None:
    """Copy `first` and all of `source` to the descriptor `sink`, counting."""
    done = 0
    try:
        with open(sink, "wb", buffering=0) as out:
            chunk = first
            while chunk:
                view = memoryview(chunk)
                while view:
                    view = view[out.write(view) :]
                done += len(chunk)
                counter.value = done
                chunk = source.read(BUFFER_BYTES)
    except BrokenPipeError:
        return  # the decompressor failed; its exit status is what is reported


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
        raise _corrupt(f"the layer is not a valid tar archive: {e}") from e
    while source.read(BUFFER_BYTES):
        pass  # what follows the archive's end belongs to the digest


def _open(source: HashedReader) -> tarfile.TarFile:
    try:
        return _open_stream(source)
    except _MALFORMED as e:
        if not source.read(1) and "empty" in str(e):  # not a single byte: a layer without files
            return _open_stream(io.BytesIO(bytes(2 * tarfile.BLOCKSIZE)))
        raise _corrupt(f"the layer is not a valid tar archive: {e}") from e


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


def _open_stream(source: io.RawIOBase | io.BytesIO) -> tarfile.TarFile:
    return tarfile.open(
        fileobj=source,
        mode="r|",
        bufsize=BUFFER_BYTES,
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
            raise _corrupt(f"the layer is not a valid tar archive: {e}") from e
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
            raise _corrupt("the layer is corrupt: there is garbage after its members")


def _corrupt(what: str) -> ImageContentError:
    return ImageContentError(what, hint="the image is corrupt; pull, copy or build it again")
