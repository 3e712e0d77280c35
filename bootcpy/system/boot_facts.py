"""What an unpacked image has to boot with, read from its directory."""

from pathlib import Path

from bootcpy import paths
from bootcpy.model.bootable import BootFacts
from bootcpy.system import initramfs


def read(root: Path) -> BootFacts:
    """Return the facts about the image unpacked at `root`; `/` inside a container of it.

    Raises:
        ImageContentError: the initramfs is damaged.
    """
    modules = root / paths.MODULES
    kernels = tuple(sorted(found.parent.name for found in modules.glob("*/vmlinuz")))
    image = modules / (kernels[0] if len(kernels) == 1 else "") / "initramfs.img"
    configs = (root / base / paths.PREPARE_ROOT_CONF for base in ("etc", "usr/etc", "usr/lib"))
    config = next((path for path in configs if path.is_file()), None)
    return BootFacts(
        kernels=kernels,
        has_initramfs=image.is_file(),
        has_prepare_root=image.is_file() and has_prepare_root(image),
        prepare_root_conf=None if config is None else read_config(config),
        has_os_release=any(
            (root / base / "os-release").is_file() for base in ("etc", "usr/etc", "usr/lib")
        ),
    )


def has_prepare_root(image: Path) -> bool:
    """Tell whether the initramfs `image` holds ostree's program that finds the deployment.

    Raises:
        ImageContentError: `image` is damaged.
    """
    return any(path == initramfs.PREPARE_ROOT for path in initramfs.paths(image))


def read_config(path: Path) -> str:
    """Return the text of a configuration file, whatever bytes it holds."""
    return path.read_text(encoding="utf-8", errors="replace")
