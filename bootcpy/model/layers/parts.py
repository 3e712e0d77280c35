"""How an unpacked layer is cut into parts that several processes store at once. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from bootcpy.model.layers.tar_paths import API_DIRECTORIES

# libostree hashes at a fifth of the speed that OpenSSL has; from this size on that counts
# for more than what handling a file by itself costs (0.15 ms).
LARGE_FILE_BYTES = 128 * 1024
# Storing a file costs about as much as writing this many bytes (measured on ext4).
_FILE_COST_BYTES = 24 * 1024


@dataclass(slots=True)
class ScannedDirectory:
    """A directory of an unpacked layer as a scan found it.

    Attributes:
        path: below the layer's root, as in the image (not yet moved to usr/etc).
        files: how many files it has itself.
        size_bytes: the size of those.
        large: names of those that are worth storing one by one.
        dirs: the directories in it.
        whiteouts: names that the layer hides here.
        opaque: whether it hides everything that lower layers have here.
        marked: whether it carries attributes of the overlay driver.
    """

    path: str
    files: int = 0
    size_bytes: int = 0
    large: list[str] = field(default_factory=list)
    dirs: list["ScannedDirectory"] = field(default_factory=list)
    whiteouts: list[str] = field(default_factory=list)
    opaque: bool = False
    marked: bool = False

    @property
    def needs_care(self) -> bool:
        """Whether it is more than a directory with files."""
        return bool(self.whiteouts) or self.marked

    @property
    def own_cost(self) -> int:
        """What storing its own files costs, in bytes written."""
        return self.size_bytes + self.files * _FILE_COST_BYTES

    def walk(self) -> Iterator["ScannedDirectory"]:
        """Yield it and all directories below it."""
        yield self
        for child in self.dirs:
            yield from child.walk()


class Extent(Enum):
    """How much of a directory a part covers."""

    TREE = "all below it"
    FILES = "its own files"
    LISTED = "its own files, one by one, because whiteouts lie between them"
    NOTHING = "only the directory itself"


@dataclass(frozen=True, slots=True)
class Cut:
    """One part: a directory, and how much of it."""

    directory: ScannedDirectory
    extent: Extent
    cost: int


def cut(root: ScannedDirectory, *, limit: int) -> list[Cut]:
    """Cut a layer into parts of at most `limit`, where directories allow it.

    The root is always cut, because what is directly below it may move (etc) or be
    left out (run, tmp and so on, of which only the directory itself is a part), and so
    is every directory that has whiteouts: libostree refuses the devices that stand for them.
    """
    parts: list[Cut] = []
    costs: dict[str, int] = {}

    def cost_of(node: ScannedDirectory) -> int:
        costs[node.path] = node.own_cost + sum(cost_of(child) for child in node.dirs)
        return costs[node.path]

    def divide(node: ScannedDirectory) -> None:
        whole = costs[node.path] <= limit or not node.dirs
        if node.path in API_DIRECTORIES:
            parts.append(Cut(node, Extent.NOTHING, 0))
        elif node.path and whole and not any(child.whiteouts for child in node.walk()):
            parts.append(Cut(node, Extent.TREE, costs[node.path]))
        else:
            extent = Extent.LISTED if node.whiteouts else Extent.FILES
            parts.append(Cut(node, extent, node.own_cost))
            for child in node.dirs:
                divide(child)

    cost_of(root)
    divide(root)
    return parts


def total_cost(root: ScannedDirectory) -> int:
    """Return what storing the whole layer costs, in bytes written."""
    return sum(node.own_cost for node in root.walk())


def batches(parts: list[Cut], *, limit: int) -> list[list[Cut]]:
    """Group parts into batches of about `limit`, the largest parts first.

    Processes take the batches in this order, so that no large one is left for the end.
    """
    grouped: list[list[Cut]] = []
    left = 0
    for part in sorted(parts, key=lambda part: -part.cost):
        if not grouped or part.cost > left:
            grouped.append([])
            left = limit
        grouped[-1].append(part)
        left -= part.cost
    return grouped
