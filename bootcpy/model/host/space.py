"""Does an image fit? Decided from facts: before its first layer is fetched, and before staging.

What cannot fit is refused. What is only likely not to fit is said, and tried: a file that is
here already needs no space, and which these are shows when they arrive.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from bootcpy.errors import NoSpaceError
from bootcpy.model.base.size import KIB, format_size
from bootcpy.model.image.oci import Descriptor

# How much larger a layer is once unpacked: the upper end of what Debian's trees show.
_UNPACKED_PER_GZIP_BYTE = 3
_UNPACKED_PER_ZSTD_BYTE = 4
_COMMIT_BYTES = 4 * KIB  # even an image whose layers are all here needs a commit
_MENU_BYTES = 64 * KIB  # boot entries, the menu, and the directories they are in


def unpacked_size(layers: Iterable[Descriptor]) -> int:
    """Return about how many bytes the layers unpack to."""
    total = 0
    for layer in layers:
        if "gzip" in layer.media_type:
            total += layer.size_bytes * _UNPACKED_PER_GZIP_BYTE
        elif "zstd" in layer.media_type:
            total += layer.size_bytes * _UNPACKED_PER_ZSTD_BYTE
        else:
            total += layer.size_bytes
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """What is to be fetched of an image.

    Attributes:
        name: the image.
        size_bytes: the missing layers as they are delivered.
        unpacked_bytes: about what they unpack to.
        replaced_bytes: layers of the version that is here which this one no longer has, and
            those that are here unchecked. What is missing may be those, changed a little, and
            so need no more space than it grew.
    """

    name: str
    size_bytes: int
    unpacked_bytes: int
    replaced_bytes: int = 0

    @property
    def least_bytes(self) -> int:
        """What it takes up at the very least."""
        return max(self.size_bytes - self.replaced_bytes, _COMMIT_BYTES)

    def describe(self) -> str:
        """Name both sizes."""
        return (
            f"{format_size(self.size_bytes)} to download, "
            f"about {format_size(self.unpacked_bytes)} unpacked"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RepoSpace:
    """The space for the repository: `reserved_bytes` is what libostree leaves free there."""

    path: str
    free_bytes: int
    reserved_bytes: int = 0

    @property
    def available_bytes(self) -> int:
        """What may be written."""
        return max(self.free_bytes - self.reserved_bytes, 0)

    def describe(self) -> str:
        """Say what is free, and why not all of it counts."""
        free = f"{format_size(self.free_bytes)} are free in {self.path}"
        if not self.reserved_bytes:
            return free
        return f"{free}, of which libostree keeps {format_size(self.reserved_bytes)} free"


def require_repo_space(download: Download, space: RepoSpace) -> str | None:
    """Refuse a download that cannot fit; return what to say of one that perhaps does not.

    Raises:
        NoSpaceError: with all numbers.
    """
    if download.least_bytes > space.available_bytes:
        raise NoSpaceError(
            f"Insufficient free space for {download.name} "
            f"(available: {format_size(space.available_bytes)} "
            f"required: {format_size(download.least_bytes)}): "
            f"{download.describe()}; {space.describe()}",
            hint="free some space there, or use a larger disk",
        )
    if download.unpacked_bytes > space.available_bytes:
        return f"the image may not fit: {download.describe()}; {space.describe()}"
    return None


def ran_out(cause: NoSpaceError, download: Download, space: RepoSpace) -> NoSpaceError:
    """Return the error for a download that turned out not to fit."""
    return NoSpaceError(
        f"{download.name} does not fit: {cause.message} "
        f"({download.describe()}; now {space.describe()})",
        hint="free some space there and run the command again; complete layers are kept",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BootSpace:
    """The space for kernels in /boot.

    Attributes:
        free_bytes: free for root.
        kernels: what each kernel takes with its initramfs, by its directory in /boot/ostree.
        kept: the directories of deployments that stay when the new one is finalized.
        running: the directory of the booted deployment.
        separate: /boot is a file system of its own. Only then libostree removes the kernels
            of deployments that go before it writes the new one
            (`auto_early_prune_old_deployments`).
    """

    free_bytes: int
    kernels: Mapping[str, int]
    kept: Collection[str]
    running: str
    separate: bool

    @property
    def available_bytes(self) -> int:
        """What a new kernel may take."""
        going = (size for name, size in self.kernels.items() if name not in self.kept)
        free_bytes = self.free_bytes + (sum(going) if self.separate else 0)
        return max(free_bytes - _MENU_BYTES, 0)


_BOOT_HINT = "remove other files from /boot, or unpin old deployments (ostree admin pin)"


def require_boot_space(needed_bytes: int, space: BootSpace) -> None:
    """Refuse a kernel with its initramfs that will not fit into /boot at shutdown.

    Raises:
        NoSpaceError: with both numbers.
    """
    if needed_bytes > space.available_bytes:
        raise NoSpaceError(
            "Insufficient free space for the kernel in /boot "
            f"(available: {format_size(space.available_bytes)} "
            f"required: {format_size(needed_bytes)})",
            hint=_BOOT_HINT,
        )


def foresee_boot_space(
    download: Download, space: BootSpace, *, other_kernel: bool | None
) -> str | None:
    """Say what /boot will lack if the download brings a kernel; refuse if it is sure to.

    `other_kernel` tells whether the image has another kernel than what runs, None if that is
    not known. One with its initramfs is taken to need what the running one does, and at the
    least half of it. Neither can be compressed again: a smaller download holds none.

    Raises:
        NoSpaceError: with both numbers.
    """
    running_bytes = space.kernels.get(space.running, 0)
    if other_kernel is False or running_bytes <= space.available_bytes:
        return None
    needed = (
        f"(available: {format_size(space.available_bytes)} "
        f"required: about {format_size(running_bytes)}, like the running kernel)"
    )
    if other_kernel and running_bytes // 2 > space.available_bytes:
        raise NoSpaceError(
            f"Insufficient free space for the kernel of {download.name} in /boot {needed}",
            hint=_BOOT_HINT,
        )
    if download.size_bytes < running_bytes // 2:
        return None
    return f"another kernel may not fit into /boot {needed}"
