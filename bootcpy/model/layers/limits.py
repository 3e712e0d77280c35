"""How large the parts of a layer may be, and the words for what is larger or malformed.

Every limit is far above what real images have, and is looked at before what it bounds is read or
kept. The path, name and attribute limits are the kernel's: what is beyond cannot be on a disk.
"""

from typing import Final

from bootcpy.errors import ImageContentError
from bootcpy.model.base.size import GIB, KIB, MIB, format_size

# ------------------------------------------------------------- the kernel: names, attributes, ids
PATH_BYTES: Final = 4096
NAME_BYTES: Final = 255
LINK_TARGET_BYTES: Final = 4095
XATTR_NAME_BYTES: Final = 255
XATTR_VALUE_BYTES: Final = 64 * KIB
LARGEST_ID: Final = (1 << 32) - 2  # the one above means "leave the owner as it is"

# ------------------------------------------------------------------------------------ one member
XATTRS_BYTES: Final = 1 * MIB  # of all extended attributes of a file
PAX_BYTES: Final = 2 * MIB  # of one extended header: attributes, and two paths
PAX_RECORDS: Final = 4096
GLOBAL_PAX_BYTES: Final = 64 * KIB  # of all global headers; git(1) writes one of 52 bytes
EXTENDED_HEADERS: Final = 8  # before one member; GNU tar writes up to three
SPARSE_EXTENTS: Final = 65536
FILE_BYTES: Final = 1024 * GIB

# ------------------------------------------------------------------------------------- one layer
MEMBERS: Final = 10_000_000
PATHS_BYTES: Final = 2 * GIB  # of all names and link targets, which are sorted on the disk
IMPLICIT_DIRECTORIES: Final = 100_000  # their names are kept with the layer, in one piece
IMPLICIT_BYTES: Final = 8 * MIB
BOOT_PATHS: Final = 2000  # what `bootcpy.model.layers.kernels` compares with each other
CHAINED_LINKS: Final = 100_000  # hard links to hard links
STASHED_FILES: Final = 500_000
DROPPED_NAMES: Final = 1000  # that are counted one by one
# libostree's `OSTREE_MAX_METADATA_SIZE`: some two million names in one directory.
DIRTREE_BYTES: Final = 128 * MIB

_SHOWN_CHARACTERS: Final = 100
_HOSTILE: Final = "the image is malformed or hostile; do not use it"


def shown(name: str) -> str:
    """Return a foreign name as it may stand in a message: quoted, and cut when it is long."""
    return repr(name) if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]!r}..."


def hostile(what: str) -> ImageContentError:
    """Return the error for a layer that no builder would write: `what` says how it shows."""
    return ImageContentError(what, hint=_HOSTILE)


def corrupt(what: str) -> ImageContentError:
    """Return the error for a blob that is damaged: `what` says how it shows."""
    return ImageContentError(what, hint="the image is corrupt; pull, copy or build it again")


def not_a_tar(why: str) -> ImageContentError:
    """Return the error for bytes that break the format."""
    return corrupt(f"the layer is not a valid tar archive: {why}")


def require_path(path: str) -> None:
    """Refuse a path, in UTF-8, that no file system takes.

    Raises:
        ImageContentError: it, or one of its components, is too long, or it holds a NUL.
    """
    octets = path.encode()
    if len(octets) > PATH_BYTES:
        raise hostile(f"the layer has a path of {len(octets)} bytes: {shown(path)}")
    if max(map(len, octets.split(b"/"))) > NAME_BYTES:
        raise hostile(f"the layer has a name of more than {NAME_BYTES} bytes: {shown(path)}")
    if b"\0" in octets:
        raise hostile(f"the layer has a name with a NUL in it: {shown(path)}")


def require_link_target(path: str, target: str) -> None:
    """Refuse a target that no symbolic link can have.

    Raises:
        ImageContentError: it is empty, too long, or holds a NUL.
    """
    octets = len(target.encode(errors="surrogateescape"))
    if not 0 < octets <= LINK_TARGET_BYTES:
        raise hostile(f"the symbolic link {shown(path)} has a target of {octets} bytes")
    if "\0" in target:
        raise hostile(f"the symbolic link {shown(path)} has a target with a NUL in it")


def require_owner(path: str, uid: int, gid: int) -> None:
    """Refuse an owner that a file cannot have; no number is ever cut to one that it can.

    Raises:
        ImageContentError: the user or the group is out of range.
    """
    for what, number in (("user", uid), ("group", gid)):
        if not 0 <= number <= LARGEST_ID:
            raise hostile(
                f"{shown(path)} in the layer belongs to the {what} {number}, which is not valid"
            )


def require_size(path: str, size_bytes: int) -> None:
    """Refuse a file that cannot be that large.

    Raises:
        ImageContentError: its size is negative, or beyond every limit.
    """
    if not 0 <= size_bytes <= FILE_BYTES:
        raise hostile(
            f"{shown(path)} in the layer claims to have {size_bytes} bytes; "
            f"the limit is {format_size(FILE_BYTES)}"
        )


def require_xattr(path: str, name: bytes, value: bytes) -> None:
    """Refuse an extended attribute that could not be stored, or not be read back.

    libostree reads files without the attributes that have no value, and would find one that was
    stored with them damaged.

    Raises:
        ImageContentError: its name or its value has a size that it must not have.
    """
    text = shown(name.decode(errors="replace"))
    if not 0 < len(name) <= XATTR_NAME_BYTES or b"\0" in name:
        raise hostile(f"{shown(path)} in the layer has an extended attribute named {text}")
    if not value:
        raise ImageContentError(
            f"{shown(path)} in the layer has the extended attribute {text} without a value, "
            "which ostree cannot store",
            hint="give it a value, or remove it in the image (`setfattr --remove`)",
        )
    if len(value) > XATTR_VALUE_BYTES:
        raise hostile(
            f"{shown(path)} in the layer has the extended attribute {text} of {len(value)} bytes"
        )


def too_many(what: str, limit: int) -> ImageContentError:
    """Return the error for a layer with more than `limit` of something."""
    return hostile(f"the layer has more than {limit} {what}")
