"""Where a path of an image layer goes in the ostree tree: the tar filter of ostree-ext.

Pure: paths in, paths out. Layers already imported by bootc followed the same rules,
so that both programs get the same tree from the same layer.
"""

from dataclasses import dataclass

from bootcpy.errors import ImageContentError
from bootcpy.model.layers.limits import hostile, require_path, shown

# Of these only the directory itself is kept: at run time something is mounted there.
API_DIRECTORIES = frozenset({"run", "tmp", "proc", "sys", "dev"})
_ALWAYS_KEPT = frozenset({"usr", "etc", "var"})
# Files that podman's storage wrote back as links into the repository inside the image.
REPO_PREFIX = "sysroot/ostree/repo/"

# Trees are walked recursively; real ones are not half as deep.
DEEPEST = 200
_SURELY_SHORT = 63  # a character takes up to four bytes, and a name 255

WHITEOUT_PREFIX = ".wh."
OPAQUE_MARKER = ".wh..wh..opq"


@dataclass(frozen=True, slots=True)
class Kept:
    """The path is imported, as `path`: relative, without `./`; the root is empty."""

    path: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """The path is left out; `counted_as` is the name it is reported under."""

    counted_as: str


def normalise(raw: str) -> str:
    """Return `raw` relative and without empty or `.` components; the root is empty.

    Raises:
        ImageContentError: it has a `..` component, too many or too long components, or is
            not UTF-8.
    """
    parts = [part for part in raw.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise hostile(f"the layer has a member whose path leaves the tree: {shown(raw)}")
    if len(parts) > DEEPEST:
        raise hostile(f"the layer has a member deeper than {DEEPEST} directories: {shown(raw)}")
    path = "/".join(parts)
    if len(path) > _SURELY_SHORT or not path.isprintable():
        require_utf8(path, "member whose name")
        require_path(path)
    return path


def require_utf8(text: str, what: str) -> None:
    """Refuse text that ostree cannot store; `what` it is stands in the message.

    Raises:
        ImageContentError: `text` holds bytes that were not UTF-8.
    """
    if text.isprintable():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ImageContentError(
            f"the layer has a {what} is not UTF-8: {shown(text)}",
            hint="rename the file in the image; ostree stores UTF-8 names only",
        ) from None


def map_path(raw: str, *, allow_nonusr: bool) -> Kept | Dropped:
    """Decide about one member's path.

    `allow_nonusr` says whether top-level directories other than usr, etc and var
    are kept; it is True for images without an ostree base.

    Raises:
        ImageContentError: as `normalise`.
    """
    path = normalise(raw)
    first, _, below = path.partition("/")
    if not first or first in _ALWAYS_KEPT:
        return Kept(_etc_below_usr(path))
    if first in API_DIRECTORIES:
        return Dropped(below.partition("/")[0]) if below else Kept(path)
    return Kept(path) if allow_nonusr else Dropped(first)


def map_link_target(raw: str) -> str:
    """Return where the target of a hard link went; only /etc moves.

    Raises:
        ImageContentError: as `normalise`.
    """
    return _etc_below_usr(normalise(raw))


def _etc_below_usr(path: str) -> str:
    return f"usr/{path}" if path == "etc" or path.startswith("etc/") else path


def parents(path: str) -> list[str]:
    """Return the directories above `path`, outermost first, without the root."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
