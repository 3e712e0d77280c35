"""What an unpacked image has to boot with, read from its directory."""

from pathlib import Path

from bootcpy import paths
from bootcpy.errors import ImageContentError
from bootcpy.model.base.size import LARGEST_CONFIGURATION_BYTES
from bootcpy.model.boot.bootable import MOST_MODULES_DIRECTORIES, BootFacts
from bootcpy.system.boot import initramfs
from bootcpy.system.files import below


def read(root: Path) -> BootFacts:
    """Return the facts about the image unpacked at `root`; `/` inside a container of it.

    Raises:
        ImageContentError: the initramfs is damaged, or something is larger than it may be.
    """
    kernels = tuple(
        version
        for version in names(root, paths.MODULES, limit=MOST_MODULES_DIRECTORIES)
        if below.is_file(root, paths.MODULES / version / "vmlinuz")
    )
    image = paths.MODULES / (kernels[0] if len(kernels) == 1 else "") / "initramfs.img"
    has_initramfs = below.is_file(root, image)
    return BootFacts(
        kernels=kernels,
        has_initramfs=has_initramfs,
        has_prepare_root=has_initramfs and has_prepare_root(root, image),
        prepare_root_conf=read_prepare_root_conf(root, bases=("etc", "usr/etc", "usr/lib")),
        os_release=next(
            (
                _read(root, Path(base, "os-release"))
                for base in ("usr/lib", "etc", "usr/etc")
                if below.is_file(root, Path(base, "os-release"))
            ),
            None,
        ),
        has_etc=any(below.is_directory(root, base) for base in ("etc", "usr/etc")),
    )


def names(root: Path, directory: Path, *, limit: int) -> tuple[str, ...]:
    """Return what is in a directory of the image at `root`, sorted.

    Raises:
        ImageContentError: it cannot be read, or holds more than `limit` things.
    """
    try:
        return below.names(root, directory, limit=limit)
    except OSError as e:
        raise ImageContentError(f"cannot read /{directory} of the image: {e.strerror}") from e


def has_prepare_root(root: Path, image: Path) -> bool:
    """Tell whether the initramfs `image` below `root` holds ostree's program for the deployment.

    Raises:
        ImageContentError: `image` is damaged.
    """
    with below.open_file(root, image) as file:
        return any(path == initramfs.PREPARE_ROOT for path in initramfs.paths_in(file))


def read_prepare_root_conf(root: Path, *, bases: tuple[str, ...]) -> str | None:
    """Return the text of the first prepare-root.conf there is below `bases`, whatever its bytes.

    Raises:
        ImageContentError: it cannot be read, or is larger than it may be.
    """
    for base in bases:
        path = base / paths.PREPARE_ROOT_CONF
        if below.is_file(root, path):
            return _read(root, path).decode(errors="replace")
    return None


def _read(root: Path, path: Path) -> bytes:
    try:
        return below.read_bytes(root, path, limit_bytes=LARGEST_CONFIGURATION_BYTES)
    except OSError as e:
        raise ImageContentError(f"cannot read /{path} of the image: {e.strerror}") from e
