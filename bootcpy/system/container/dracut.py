"""Building an initramfs with dracut, and knowing when it has to be built again.

The initramfs is the largest thing in an image that a build makes itself, and takes the
longest; one that would come out the same is not built again. What went into it is known
by its own list of files: those files, dracut's modules and configuration, and which of the
programs that dracut's modules ask for are there.
"""

import filecmp
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from bootcpy.errors import ImageContentError
from bootcpy.model.base.size import LARGEST_CONFIGURATION_BYTES
from bootcpy.paths import MODULES
from bootcpy.system.boot import initramfs
from bootcpy.system.files import below
from bootcpy.system.process.run import run

RECORD = Path("usr/lib/bootc/initramfs-inputs.json")
_DRACUT = Path("usr/bin/dracut")
_DRACUT_MODULES = Path("usr/lib/dracut/modules.d")
_CONFIGURATION = (
    "etc/dracut.conf",
    "etc/dracut.conf.d/*.conf",
    "usr/lib/dracut/dracut.conf.d/*.conf",
)
# Whether one of these has a name that a dracut module mentions can change what goes in.
_MENTIONED_IN = ("usr/bin", "usr/sbin", "usr/lib/systemd/system", "usr/lib/udev/rules.d")
_WORD = re.compile(r"[\w@.+-]{2,}")
# Made anew inside the initramfs, or a machine's own: the root's file is not what went in. Those
# that end in "-" are what the tools that add users keep of the version before.
_NOT_INPUTS = frozenset({
    "etc/fstab",
    "etc/group",
    "etc/group-",
    "etc/gshadow",
    "etc/gshadow-",
    "etc/hostname",
    "etc/ld.so.cache",
    "etc/machine-id",
    "etc/passwd",
    "etc/passwd-",
    "etc/resolv.conf",
    "etc/shadow",
    "etc/shadow-",
})
# Level 9: within 1 % of what the slowest levels reach here, in a tenth of the time.
_COMPRESSOR = "zstd -9 -T0 -q"
_OPTIONS = ("--force", "--no-hostonly", "--reproducible", "--add", "ostree", "--quiet")


def require_ostree_module(root: Path) -> None:
    """Raise unless dracut and its ostree module are installed.

    Raises:
        ImageContentError: one of them is not.
    """
    if not (root / _DRACUT).exists():
        raise ImageContentError(
            "dracut is not installed; it makes the initramfs",
            hint="apt-get install --no-install-recommends dracut ostree-boot",
        )
    has_module = any((root / _DRACUT_MODULES).glob("*ostree/module-setup.sh"))
    if not has_module or not (root / initramfs.PREPARE_ROOT).exists():
        raise ImageContentError(
            f"/{initramfs.PREPARE_ROOT} or dracut's module for it is not installed",
            hint="apt-get install --no-install-recommends ostree-boot",
        )


def recorded_version(root: Path) -> str | None:
    """Return the kernel version that an earlier run prepared, if there was one."""
    record = _read_record(root)
    return record.get("kernel") if record else None


def is_up_to_date(root: Path, version: str) -> bool:
    """Say whether the initramfs of kernel `version` is what `build` would make now."""
    image = root / MODULES / version / "initramfs.img"
    record = _read_record(root)
    if record is None or record.get("kernel") != version or not image.is_file():
        return False
    try:
        return record.get("inputs") == _inputs(root, version, initramfs.paths(image))
    except ImageContentError:
        return False


def build(version: str) -> int:
    """Build /usr/lib/modules/`version`/initramfs.img of the running root; return its bytes.

    The same files give the same initramfs: it is not host-only, and its time stamps are
    SOURCE_DATE_EPOCH, or dracut's own release.

    Raises:
        ToolFailedError: dracut failed.
        ImageContentError: what it made cannot boot an ostree deployment.
    """
    root = Path("/")
    image = root / MODULES / version / "initramfs.img"
    new = image.with_name(".initramfs.img.new")
    units = "/usr/lib/systemd/system"  # pkg-config is not installed, so dracut has to be told
    run(
        "dracut",
        *_OPTIONS,
        "--compress",
        _COMPRESSOR,
        new,
        version,
        env={"systemdsystemunitdir": units, "systemdutildir": "/usr/lib/systemd"},
    )
    contents = tuple(initramfs.paths(new))
    if initramfs.PREPARE_ROOT not in contents:
        new.unlink()
        raise ImageContentError(
            f"the initramfs that dracut made lacks /{initramfs.PREPARE_ROOT}",
            hint="look for omit_dracutmodules in /etc/dracut.conf.d",
        )
    new.chmod(0o644)  # nothing in it is secret, and the image may be read by anyone anyway
    if image.is_file() and filecmp.cmp(image, new, shallow=False):
        new.unlink()  # the old file stays in its layer
    else:
        new.replace(image)
    below.make_directories(root, RECORD.parent)
    facts = {"kernel": version, "inputs": _inputs(root, version, contents)}
    below.write_text(root, RECORD, json.dumps(facts) + "\n")
    return image.stat().st_size


def _read_record(root: Path) -> dict[str, str] | None:
    try:
        text = below.read_text(root, RECORD, limit_bytes=LARGEST_CONFIGURATION_BYTES)
        record = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _inputs(root: Path, version: str, contents: Iterable[str]) -> str:
    """Return a digest of what an initramfs with these `contents` was made of."""
    digest = hashlib.sha256()
    for line in _input_lines(root, version, contents):
        digest.update(line.encode(errors="surrogateescape") + b"\n")
    return digest.hexdigest()


def _input_lines(root: Path, version: str, contents: Iterable[str]) -> Iterator[str]:
    yield f"{version} {_COMPRESSOR} {' '.join(_OPTIONS)}"
    scripts = sorted(p for p in (root / _DRACUT_MODULES).glob("*/*") if p.is_file())
    configuration = [path for pattern in _CONFIGURATION for path in sorted(root.glob(pattern))]
    for path in (*configuration, *scripts):
        yield _fingerprint(root, path)
    setups = [path for path in scripts if path.name == "module-setup.sh"]
    mentioned = {
        word for path in setups for word in _WORD.findall(path.read_text(errors="replace"))
    }
    for directory in _MENTIONED_IN:
        if (root / directory).is_dir():
            names = {path.name for path in (root / directory).iterdir()}
            yield f"{directory}: {' '.join(sorted(names & mentioned))}"
    modules = root / MODULES / version
    yield " ".join(sorted(str(p.relative_to(modules)) for p in modules.rglob("*.ko*")))
    for name in sorted(contents):
        if name not in _NOT_INPUTS:
            yield _fingerprint(root, root / name)


def _fingerprint(root: Path, path: Path) -> str:
    name = path.relative_to(root)
    if path.is_symlink():
        return f"{name} -> {path.readlink()}"
    if path.is_file():
        with path.open("rb") as file:
            return f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}"
    return str(name)
