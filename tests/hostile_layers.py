"""Layers of very many small members, for tests and benchmarks: made as they are written."""

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator

from tests.system.support.oci_images import LayerBlob

_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_CHUNK_BYTES = 1 << 20
_LONG_DIRECTORY = "/".join(["n" * 250] * 13)


def _block(name: bytes, kind: bytes, size: int, link: bytes = b"") -> bytes:
    block = _HEADER.pack(
        *(name, b"0000644\0", b"0000000\0", b"0000000\0", b"%011o\0" % size, b"00000000000\0"),
        *(b" " * 8, kind, link, b"ustar  \0", b"", b"", b"", b"", b""),
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def member(name: str, kind: bytes = b"0", link: str = "") -> bytes:
    """Return an empty member in GNU's form; tarfile would take minutes for a million."""
    octets = name.encode()
    long = b""
    if len(octets) > 100:
        padding = bytes(-(len(octets) + 1) % 512)
        long = _block(b"././@LongLink", b"L", len(octets) + 1) + octets + b"\0" + padding
    return long + _block(octets[:100], kind, 0, link.encode())


def _links(count: int) -> Iterator[bytes]:
    yield member("usr/a")
    for number in range(count):
        yield member(f"usr/share/{number}", b"1", "usr/a")


# What can be made in any number, by the word for it.
SHAPES: dict[str, Callable[[int], Iterator[bytes]]] = {
    "empty files": lambda count: (member(f"usr/share/{n}") for n in range(count)),
    "empty directories": lambda count: (member(f"usr/share/{n}/", b"5") for n in range(count)),
    "whiteouts": lambda count: (member(f"usr/share/.wh.{n}") for n in range(count)),
    "names of 3,500 bytes": lambda count: (
        member(f"usr/share/{_LONG_DIRECTORY}/{'m' * 220}{n:08}") for n in range(count)
    ),
    "hard links": _links,
    "symbolic links": lambda count: (member(f"usr/share/{n}", b"2", f"{n}") for n in range(count)),
}


def layer(members: Iterator[bytes]) -> LayerBlob:
    """Return the layer of members, compressed."""
    digest, packer = hashlib.sha256(), zlib.compressobj(1, zlib.DEFLATED, 31)
    blob, pending = bytearray(), bytearray()
    for each in members:
        pending += each
        if len(pending) > _CHUNK_BYTES:
            digest.update(pending)
            blob += packer.compress(pending)
            pending.clear()
    pending += bytes(1024)
    digest.update(pending)
    blob += packer.compress(pending) + packer.flush()
    return LayerBlob(bytes(blob), f"sha256:{digest.hexdigest()}")
