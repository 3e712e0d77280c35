"""What an unpacked layer of podman's overlay storage consists of."""

import os
import stat
from pathlib import Path

from bootcpy.errors import ImageContentError
from bootcpy.model.layers.parts import LARGE_FILE_BYTES, ScannedDirectory
from bootcpy.model.layers.tar_paths import API_DIRECTORIES, DEEPEST, WHITEOUT_PREFIX, require_utf8

_OPAQUE = "trusted.overlay.opaque"
_OVERLAY = "trusted.overlay."
# Notes of the driver to itself, without a meaning for the tree.
_HINTS = {"trusted.overlay.impure", "trusted.overlay.origin", "trusted.overlay.uuid"}
# Of overlays mounted without privileges, of fuse-overlayfs, and of podman's `force_mask`.
_OTHER_DRIVERS = ("user.overlay.", "user.fuseoverlayfs.", "user.containers.override_stat")
_WHITEOUT_DEVICE = os.makedev(0, 0)


class ForeignLayerError(Exception):
    """The tree uses overlay features that only the driver understands."""


def scan_layer(root: Path) -> ScannedDirectory:
    """Return what is below `root`, whiteouts told apart from files.

    Raises:
        ImageContentError: it has a device node, FIFO or socket, or a name that is not UTF-8.
        ForeignLayerError: it has to be read through the storage's own driver.
    """
    scanned = ScannedDirectory("")
    pending = [(scanned, str(root))]
    while pending:
        directory, place = pending.pop()
        with os.scandir(place) as entries:
            for entry in entries:
                path = f"{directory.path}/{entry.name}" if directory.path else entry.name
                if not entry.name.isascii():
                    require_utf8(path, "member whose name")
                if entry.is_dir(follow_symlinks=False):
                    if path.count("/") >= DEEPEST:
                        raise ImageContentError(
                            f"the layer has directories deeper than {DEEPEST}: {path[:80]!r}...",
                            hint="the image is malformed or hostile; do not use it",
                        )
                    child = ScannedDirectory(path)
                    _read_marks(child, entry.path)
                    directory.dirs.append(child)
                    if path not in API_DIRECTORIES:  # their content is not imported
                        pending.append((child, entry.path))
                else:
                    _add_file(directory, entry, path)
    return scanned


def _add_file(directory: ScannedDirectory, entry: os.DirEntry[str], path: str) -> None:
    if entry.name.startswith(WHITEOUT_PREFIX):
        raise ForeignLayerError(f"{path} is a whiteout of another driver")
    found = entry.stat(follow_symlinks=False)
    if stat.S_ISREG(found.st_mode):
        directory.files += 1
        directory.size_bytes += found.st_size
        if found.st_size >= LARGE_FILE_BYTES:
            directory.large.append(entry.name)
    elif stat.S_ISLNK(found.st_mode):
        directory.files += 1
    elif stat.S_ISCHR(found.st_mode) and found.st_rdev == _WHITEOUT_DEVICE:
        directory.whiteouts.append(entry.name)
    else:
        raise ImageContentError(
            f"the layer has a member of an unsupported kind: {path!r}",
            hint="remove it from the image; a line in tmpfiles.d can create it at boot",
        )


def _read_marks(directory: ScannedDirectory, place: str) -> None:
    for name in os.listxattr(place, follow_symlinks=False):
        if name.startswith(_OTHER_DRIVERS):
            raise ForeignLayerError(f"{place} has the attribute {name}")
        if not name.startswith(_OVERLAY):
            continue
        directory.marked = True
        if name == _OPAQUE:
            directory.opaque = True
        elif name not in _HINTS:
            raise ForeignLayerError(f"{place} has the attribute {name}")
