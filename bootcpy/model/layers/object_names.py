"""What the members of an embedded ostree commit's layers are, by their names. Pure.

ostree-ext writes these layers ("encapsulation", format 1): a repository in tar form, in
which the files of the tree itself are hard links to objects. Only the objects are imported.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from bootcpy.model.layers.limits import hostile, shown

_REPO = "sysroot/ostree/repo/"
_OBJECT = re.compile(r"objects/([0-9a-f]{2})/([0-9a-f]{62})\.([a-z.-]+)")
_NAMED_XATTRS = re.compile(r"xattrs/([0-9a-f]{64})")


class ObjectKind(StrEnum):
    """The objects of the layers, by the ends of their names."""

    COMMIT = "commit"
    COMMIT_META = "commitmeta"  # detached metadata: signatures
    DIR_TREE = "dirtree"
    DIR_META = "dirmeta"
    FILE = "file"
    XATTRS = "file-xattrs"  # extended attributes, named by their own checksum
    XATTRS_LINK = "file-xattrs-link"  # the attributes of one file, or a link to such
    XATTRS_LINK_V0 = "file.xattrs"  # the same in format 0


@dataclass(frozen=True, slots=True)
class ObjectName:
    """An object: its kind and the checksum it is named by."""

    kind: ObjectKind
    checksum: str


def parse_object_name(name: str) -> ObjectName | None:
    """Return the object that a member's name stands for, None for members without one.

    Raises:
        ImageContentError: the member is in the repository but has no place there.
    """
    path = name.removeprefix("./")
    if not path.startswith(_REPO):
        return None
    path = path.removeprefix(_REPO)
    if path == "config" or path.startswith("refs/"):
        return None
    if named := _NAMED_XATTRS.fullmatch(path):  # format 0
        return ObjectName(ObjectKind.XATTRS, named[1])
    found = _OBJECT.fullmatch(path)
    if found is None or found[3] not in set(ObjectKind):
        raise hostile(f"the layer has a file in its repository that is no object: {shown(name)}")
    return ObjectName(ObjectKind(found[3]), found[1] + found[2])
