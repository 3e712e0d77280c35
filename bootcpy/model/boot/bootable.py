"""Whether an image can be deployed and boots: what was found in it, and the refusals."""

import configparser
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bootcpy import paths
from bootcpy.errors import ImageContentError
from bootcpy.model.base.architecture import Architecture
from bootcpy.model.base.listing import shown_few
from bootcpy.model.base.printable import LONGEST_LABEL, printable
from bootcpy.model.base.toml import shown_value
from bootcpy.model.image.oci import LABEL_BOOTC, LABEL_OSTREE_BOOTABLE, ImageConfig
from bootcpy.model.image.tree import FileKind, ImageTree, configuration

_PREPARE = "build the image with `RUN bootc container prepare` as its last step"
_MOST_LINKS = 8  # one behind the other
_LONGEST_VERSION_BYTES = 255 - len("initramfs-.img")
# What GLib's g_shell_unquote() takes; libostree passes over a line with anything else.
_UNQUOTABLE = re.compile(r"""(?:[^'"\\]|\\.?|'[^']*+'|"(?:[^"\\]|\\.)*+")*+""", re.DOTALL)
_REPLACEMENT = "\ufffd"  # what stands for bytes that are not UTF-8
_COMPOSEFS_OFF = ("", "no", "false", "0", "maybe")  # "maybe": only where it is supported
_COMPOSEFS_ON = ("yes", "true", "1", "maybe", "verity", "signed")


@dataclass(frozen=True, slots=True, kw_only=True)
class BootFacts:
    """What an image, unpacked or as a commit, has to boot with."""

    kernels: tuple[str, ...]  # each VERSION with a usr/lib/modules/VERSION/vmlinuz
    has_initramfs: bool = False  # initramfs.img beside the one kernel
    has_prepare_root: bool = False  # ostree's program is in the initramfs
    prepare_root_conf: str | None = None  # the text; etc/ wins over usr/lib/
    os_release: bytes | None = None  # as libostree finds it: usr/lib/ wins over etc/
    has_etc: bool = False  # a directory; in a commit it is usr/etc


def require_bootable(config: ImageConfig, *, machine: str, name: str) -> None:
    """Refuse an image that cannot boot here; `machine` is what `uname -m` prints.

    Raises:
        ImageContentError: a label is missing or the architecture is another one.
    """
    if not {LABEL_BOOTC, LABEL_OSTREE_BOOTABLE} & config.labels.keys():
        raise ImageContentError(
            f"{name} is not a bootable image: it has no label {LABEL_BOOTC}",
            hint=f"build it from a bootable base, or add LABEL {LABEL_BOOTC}=1",
        )
    expected = Architecture.of(machine).oci
    found = printable(config.architecture, limit=LONGEST_LABEL)
    if config.architecture != expected:
        raise ImageContentError(
            f"{name} has architecture {found}; expected {expected}",
            hint="pull or build the image for this machine's architecture",
        )


def require_bootable_tree(facts: BootFacts, *, composefs_supported: bool) -> str:
    """Return the version of the one kernel of a tree that boots as an ostree deployment.

    Raises:
        ImageContentError: it would not boot; the message says what is missing.
    """
    match facts.kernels:
        case (version,):
            pass
        case ():
            raise ImageContentError(
                "the image has no kernel: there is no /usr/lib/modules/VERSION/vmlinuz",
                hint=f"install a kernel, then {_PREPARE}",
            )
        case several:
            raise ImageContentError(
                f"the image has more than one kernel: {shown_few(several)}",
                hint="remove all but one; an image boots exactly one",
            )
    require_kernel_version(version)
    if not facts.has_initramfs:
        raise ImageContentError(
            f"the image has no initramfs: /usr/lib/modules/{version}/initramfs.img is missing",
            hint=_PREPARE,
        )
    if not facts.has_prepare_root:
        raise ImageContentError(
            f"the initramfs of kernel {version} lacks ostree-prepare-root, so it cannot "
            "find the deployment",
            hint=_PREPARE,
        )
    if facts.prepare_root_conf is None:
        raise ImageContentError(
            "the image has no ostree/prepare-root.conf in /usr/lib or /etc", hint=_PREPARE
        )
    _require_title(facts.os_release)
    if not facts.has_etc:  # libostree finds out at shutdown, when it merges the changes there
        raise ImageContentError(
            "the image has no directory /etc", hint="create /etc in the image, even if it is empty"
        )
    if requires_composefs(facts.prepare_root_conf) and not composefs_supported:
        raise ImageContentError(
            "the image requires composefs, but this libostree was built without it",
            hint="set `enabled = no` below [composefs] in ostree/prepare-root.conf",
        )
    return version


def require_kernel_version(version: str) -> None:
    """Refuse a kernel whose version cannot stand in file names and boot entries.

    libostree names files in /boot after it, which nobody would find out before shutdown.

    Raises:
        ImageContentError: it has such characters, or is too long.
    """
    hint = "use a shorter name without spaces for its directory in /usr/lib/modules"
    if not version.isprintable() or any(c.isspace() or c == "/" for c in version):
        raise ImageContentError(
            f"the kernel's version {shown_value(version)} has characters that a boot entry "
            "cannot have",
            hint=hint,
        )
    if len(version.encode(errors="surrogateescape")) > _LONGEST_VERSION_BYTES:
        raise ImageContentError(
            f"the kernel's version {shown_value(version)} is longer than "
            f"{_LONGEST_VERSION_BYTES} bytes",
            hint=hint,
        )


def _require_title(os_release: bytes | None) -> None:
    """Refuse what libostree can make no title of a boot entry of, as it does only at shutdown.

    Raises:
        ImageContentError: the file is missing, is no text, or names nothing.
    """
    if os_release is None:
        raise ImageContentError(
            "the image has no os-release in /usr/lib or /etc",
            hint="install the package base-files",
        )
    hint = 'write PRETTY_NAME="..." into /usr/lib/os-release, as UTF-8; see os-release(5)'
    try:
        text = os_release.decode()
    except UnicodeDecodeError as e:
        raise ImageContentError("the image's os-release is not UTF-8 text", hint=hint) from e
    if "\0" in text:
        raise ImageContentError("the image's os-release has a NUL character", hint=hint)
    settings = (line.partition("=") for line in text.split("\n") if not line.startswith("#"))
    if not any(
        key in {"PRETTY_NAME", "ID"} and equals and _UNQUOTABLE.fullmatch(value)
        for key, equals, value in settings
    ):
        raise ImageContentError("the image's os-release has no PRETTY_NAME or ID", hint=hint)


def prepare_root_conf(tree: ImageTree, *, bases: Iterable[Path]) -> str | None:
    """Return the text of the first prepare-root.conf there is below `bases`, whatever its bytes.

    Raises:
        ImageContentError: it cannot be read, or is larger than it may be.
    """
    for base in bases:
        content = configuration(tree, base / paths.PREPARE_ROOT_CONF)
        if content is not None:
            return content.decode(errors="replace")
    return None


def os_release(tree: ImageTree) -> bytes | None:
    """Return the os-release of an image, as libostree finds it.

    Raises:
        ImageContentError: it cannot be read, or is larger than it may be.
    """
    for base in (paths.USR_LIB, *tree.etc):
        content = configuration(tree, _followed(tree, base / "os-release"))
        if content is not None:
            return content
    return None


def _followed(tree: ImageTree, path: Path) -> Path:
    """Return where `path` leads, where the tree does not follow links, within it."""
    for _ in range(_MOST_LINKS):
        target = None if tree.kind(path) is FileKind.FILE else tree.link_target(path)
        if target is None:
            break
        text = os.path.normpath(path.parent / target)
        if text.startswith(("/", "..")):
            break  # where libostree follows it, that is the booted system's own
        path = Path(text)
    return path


def requires_composefs(prepare_root_conf: str) -> bool:
    """Tell whether the text of a prepare-root.conf makes composefs a condition of booting.

    Raises:
        ImageContentError: the text is no key file.
    """
    parser = _parse_prepare_root(prepare_root_conf)
    return parser.get("composefs", "enabled", fallback="").lower() not in _COMPOSEFS_OFF


def protects_toplevel(prepare_root_conf: str) -> bool:
    """Tell whether the whole root, not only /usr, is out of reach of writers at run time.

    Then layers may have files in any top-level directory (ostree-ext's `allow_nonusr`).

    Raises:
        ImageContentError: the text is no key file.
    """
    parser = _parse_prepare_root(prepare_root_conf)
    composefs = parser.get("composefs", "enabled", fallback="").lower()
    transient = parser.get("root", "transient", fallback="").lower()
    return composefs in _COMPOSEFS_ON or transient in {"true", "1", "yes"}


def _parse_prepare_root(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False, comment_prefixes=("#",))
    if "\0" in text or _REPLACEMENT in text:
        # libostree finds that out when it has begun to write the deployment.
        raise ImageContentError("the image's prepare-root.conf is malformed: it is not UTF-8 text")
    try:
        parser.read_string(text)
    except configparser.Error as e:
        line = str(e).splitlines()[0]
        raise ImageContentError(f"the image's prepare-root.conf is malformed: {line}") from e
    return parser
