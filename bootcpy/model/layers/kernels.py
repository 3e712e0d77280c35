"""Which kernels an image has, told from the names in its layers. Pure."""

import re
from collections.abc import Iterable, Sequence

from bootcpy.model.layers.tar_paths import OPAQUE_MARKER, WHITEOUT_PREFIX

_BOOT_PATH = re.compile(
    r"usr/lib/modules/(\.wh\.[^/]+|[^/]+/(vmlinuz|initramfs\.img|\.wh\..*))|"
    r"usr/(lib/)?\.wh\.[^/]*"
)
_MODULES = "usr/lib/modules/"


def is_boot_path(path: str) -> bool:
    """Tell whether a path of a layer adds or hides a kernel or its initramfs."""
    return _BOOT_PATH.fullmatch(path) is not None


def boot_files(layers: Iterable[Sequence[str]]) -> frozenset[str]:
    """Return the kernels and initramfs files left when the layers lie on each other.

    `layers` are their boot paths (see `is_boot_path`), bottom first.
    """
    present: set[str] = set()
    for layer in layers:
        for path in layer:
            directory, _, name = path.rpartition("/")
            if name == OPAQUE_MARKER:
                present = {file for file in present if not file.startswith(f"{directory}/")}
            elif name.startswith(WHITEOUT_PREFIX):
                hidden = f"{directory}/{name.removeprefix(WHITEOUT_PREFIX)}"
                present = {
                    file for file in present if file != hidden and not file.startswith(f"{hidden}/")
                }
        present |= {
            path for path in layer if not path.rpartition("/")[2].startswith(WHITEOUT_PREFIX)
        }
    return frozenset(present)


def kernel_versions(files: Iterable[str]) -> tuple[str, ...]:
    """Return the versions of the kernels among the boot files, sorted."""
    return tuple(
        sorted(
            path.removeprefix(_MODULES).removesuffix("/vmlinuz")
            for path in files
            if path.endswith("/vmlinuz")
        )
    )
