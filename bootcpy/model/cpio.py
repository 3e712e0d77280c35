"""The names in a cpio archive of the kind the kernel takes as an initramfs ("newc").

Format: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from collections.abc import Iterator
from typing import BinaryIO

from bootcpy.errors import ImageContentError

MAGICS = (b"070701", b"070702")
_HEADER_BYTES = 110
_TRAILER = "TRAILER!!!"
_SKIP_BYTES = 1 << 20


def names(stream: BinaryIO) -> Iterator[str]:
    """Yield the path of each member of the archive at the start of `stream`, without a leading `/`.

    The stream is left behind the archive's trailer.

    Raises:
        ImageContentError: it is not such an archive, or it ends too early.
    """
    while True:
        header = _exactly(stream, _HEADER_BYTES)
        if header[:6] not in MAGICS:
            raise ImageContentError("the initramfs holds something that is not a cpio archive")
        try:
            file_bytes, name_bytes = int(header[54:62], 16), int(header[94:102], 16)
        except ValueError as e:
            raise ImageContentError("the initramfs has a malformed cpio header") from e
        # Name and content are each padded to four bytes, counted from the header.
        raw = _exactly(stream, name_bytes + -(_HEADER_BYTES + name_bytes) % 4)
        name = raw[:name_bytes].rstrip(b"\0").decode(errors="replace")
        _skip(stream, file_bytes + -file_bytes % 4)
        if name == _TRAILER:
            return
        yield name.removeprefix("./").lstrip("/")


def _exactly(stream: BinaryIO, count: int) -> bytes:
    parts = []
    while count > 0:
        part = stream.read(count)
        if not part:
            raise ImageContentError("the initramfs ends in the middle of its cpio archive")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _skip(stream: BinaryIO, count: int) -> None:
    while count > 0:
        count -= len(_exactly(stream, min(count, _SKIP_BYTES)))
