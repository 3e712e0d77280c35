"""Whether a file tree can be deployed and boots: what was found in it, and the refusals."""

import configparser
from dataclasses import dataclass

from bootcpy.errors import ImageContentError

_PREPARE = "build the image with `RUN bootc container prepare` as its last step"
_COMPOSEFS_OFF = ("", "no", "false", "0", "maybe")  # "maybe": only where it is supported
_COMPOSEFS_ON = ("yes", "true", "1", "maybe", "verity", "signed")


@dataclass(frozen=True, slots=True, kw_only=True)
class BootFacts:
    """What an image, unpacked or as a commit, has to boot with."""

    kernels: tuple[str, ...]  # each VERSION with a usr/lib/modules/VERSION/vmlinuz
    has_initramfs: bool = False  # initramfs.img beside the one kernel
    has_prepare_root: bool = False  # ostree's program is in the initramfs
    prepare_root_conf: str | None = None  # the text; etc/ wins over usr/lib/
    has_os_release: bool = False


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
                f"the image has more than one kernel: {', '.join(several)}",
                hint="remove all but one; an image boots exactly one",
            )
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
    if not facts.has_os_release:
        raise ImageContentError(
            "the image has no os-release in /usr/lib or /etc",
            hint="install the package base-files",
        )
    if requires_composefs(facts.prepare_root_conf) and not composefs_supported:
        raise ImageContentError(
            "the image requires composefs, which this libostree was built without",
            hint="set `enabled = no` below [composefs] in ostree/prepare-root.conf",
        )
    return version


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
    try:
        parser.read_string(text)
    except configparser.Error as e:
        line = str(e).splitlines()[0]
        raise ImageContentError(f"the image's prepare-root.conf is malformed: {line}") from e
    return parser
