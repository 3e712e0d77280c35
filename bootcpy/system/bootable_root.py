"""Whether an unpacked image can boot: its kernel, its initramfs, its root's preparation."""

import configparser
import logging
from pathlib import Path

from bootcpy import paths
from bootcpy.errors import ImageContentError
from bootcpy.system import initramfs
from bootcpy.system.drop_ins import read_drop_ins
from bootcpy.system.run import run

log = logging.getLogger(__name__)

_PREPARE_HINT = "end the Containerfile with `RUN bootc container prepare`"
# ostree-prepare-root(1): these make a composefs image a must; "maybe" and "no" do not.
_COMPOSEFS_MUST = {"1", "true", "yes", "signed", "verity"}


def require_bootable_root(root: Path) -> str:
    """Return the version of the kernel that the image unpacked at `root` boots.

    Raises:
        ImageContentError: there is no kernel or more than one, no initramfs or one that
            cannot find the deployment, or no ostree/prepare-root.conf.
    """
    modules = root / paths.MODULES
    kernels = sorted(path.parent.name for path in modules.glob("*/vmlinuz"))
    if not kernels:
        raise ImageContentError(
            "the image has no kernel: no /usr/lib/modules/*/vmlinuz", hint=_PREPARE_HINT
        )
    if len(kernels) > 1:
        raise ImageContentError(
            f"the image has more than one kernel: {', '.join(kernels)}",
            hint="remove all but one and run `bootc container prepare` again",
        )
    ramdisk = modules / kernels[0] / "initramfs.img"
    if not ramdisk.exists():
        raise ImageContentError(
            f"the image has no initramfs: no /{paths.MODULES}/{kernels[0]}/initramfs.img",
            hint=_PREPARE_HINT,
        )
    if initramfs.PREPARE_ROOT not in initramfs.paths(ramdisk):
        raise ImageContentError(
            "the image's initramfs lacks ostree-prepare-root, so it could not find the deployment",
            hint=f"make it with dracut's ostree module; {_PREPARE_HINT}",
        )
    if find_prepare_root_conf(root) is None:
        raise ImageContentError(
            f"the image has no {paths.PREPARE_ROOT_CONF} in /usr/lib or /etc", hint=_PREPARE_HINT
        )
    return kernels[0]


def find_prepare_root_conf(root: Path) -> Path | None:
    """Return the prepare-root.conf of the image at `root`; /etc's wins."""
    candidates = (root / base / paths.PREPARE_ROOT_CONF for base in ("etc", "usr/lib"))
    return next((path for path in candidates if path.exists()), None)


def requires_composefs(root: Path) -> bool:
    """Return whether the image at `root` refuses to boot without composefs.

    Raises:
        ImageContentError: its prepare-root.conf is malformed.
    """
    path = find_prepare_root_conf(root)
    if path is None:
        return False
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(path.read_text(encoding="utf-8"), source=str(path))
    except (configparser.Error, UnicodeDecodeError) as e:
        raise ImageContentError(f"{path} is malformed: {' '.join(str(e).split())}") from e
    return parser.get("composefs", "enabled", fallback="no").strip().lower() in _COMPOSEFS_MUST


def require_composefs_support() -> None:
    """Refuse to install for composefs with a libostree that was built without it.

    Raises:
        ImageContentError: this libostree, which is the image's, has no composefs.
    """
    # The bindings do not tell (OSTREE_BUILT_FEATURES is not introspectable).
    if "- composefs" not in run("ostree", "--version"):
        raise ImageContentError(
            "the image requires composefs, which its libostree is built without",
            hint="set `enabled = no` under [composefs] in its ostree/prepare-root.conf",
        )


def read_kargs_d(root: Path) -> tuple[tuple[str, str], ...] | None:
    """Return the (name, text) of the image's kargs.d files; None without such a directory."""
    directory = root / paths.KARGS_D
    return read_drop_ins([directory], suffix=".toml") if directory.is_dir() else None
