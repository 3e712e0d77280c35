"""The names in a cpio archive of the kind the kernel takes as an initramfs ("newc").

Format: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from bootcpy.errors import ImageContentError
from bootcpy.model.base.size import GIB, format_size

MAGICS = (b"070701", b"070702")
_HEADER_BYTES = 110
_FIELDS = re.compile(rb"[0-9A-Fa-f]{104}")  # 13 numbers behind the magic
_LONGEST_NAME_BYTES = 4096  # PATH_MAX, as in the kernel's unpacking
_TRAILER = "TRAILER!!!"
_SKIP_BYTES = 1 << 20


@dataclass(slots=True)
class Allowance:
    """What is left of the most that an initramfs may hold, all of its archives together.

    Debian's with every module and all firmware has 10,000 files and 400 MB.
    """

    members: int = 200_000
    content_bytes: int = 2 * GIB

    def take(self, content_bytes: int) -> None:
        """Count a member of that size.

        Raises:
            ImageContentError: there are too many, or they are too large.
        """
        self.members -= 1
        self.content_bytes -= content_bytes
        if self.members < 0:
            raise ImageContentError(f"the initramfs has more than {Allowance().members:,} files")
        if self.content_bytes < 0:
            raise ImageContentError(
                f"the initramfs holds more than {format_size(Allowance().content_bytes)}"
            )


def names(stream: BinaryIO, allowance: Allowance | None = None) -> Iterator[str]:
    """Yield the path of each member of the archive at the start of `stream`, without a leading `/`.

    The stream is left behind the archive's trailer. `allowance` is lowered by what was there.

    Raises:
        ImageContentError: it is not such an archive, ends too early, or is too large.
    """
    left = Allowance() if allowance is None else allowance
    while True:
        header = _exactly(stream, _HEADER_BYTES)
        if header[:6] not in MAGICS:
            raise ImageContentError("the initramfs has a part that is not a cpio archive")
        if not _FIELDS.fullmatch(header, 6):
            raise ImageContentError("the initramfs has a malformed cpio header")
        file_bytes, name_bytes = int(header[54:62], 16), int(header[94:102], 16)
        if not 0 < name_bytes <= _LONGEST_NAME_BYTES:
            raise ImageContentError(f"the initramfs has a file name of {name_bytes:,} bytes")
        left.take(_HEADER_BYTES + name_bytes + file_bytes)
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
