"""The small files that `bootc container prepare` writes into an image."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from bootcpy import paths
from bootcpy.model.container.shipped import LINKS, SHIPPED, SYSTEM_UNITS

# A file that does not start so is somebody's own, and stays as it is.
MARK = "# Written by `bootc container prepare`"
_SHELL = "#!/bin/sh"
_MARK_AFTER_SHEBANG = f"#!/usr/bin/python3 -sE\n{MARK}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """A file to write; `path` is relative to `/`."""

    path: str
    text: str  # of a link, its target
    purpose: str  # after "wrote /path: "
    mode: int = 0o644
    is_link: bool = False


_PREPARE_ROOT = f"""{MARK}; ostree-prepare-root(1).
[composefs]
enabled = no

[sysroot]
readonly = true
"""

_INSTALL = f"""{MARK}; install configuration of bootc.
[install.filesystem.root]
type = "ext4"
"""

# libostree starts it as `grub-menu -o FILE`, also while the machine shuts down.
_GRUB_MENU = f"""{_MARK_AFTER_SHEBANG}: the GRUB menu generator for libostree.
import sys

from bootcpy.grub_menu import main

sys.exit(main())
"""

_PROGRAM = f"""{_MARK_AFTER_SHEBANG}: bootc, for its units.
import sys

from bootcpy.cli.app import main

sys.exit(main())
"""

_FINALIZE = f"""{MARK}: the GRUB menu changes with the boot entries.
[Service]
Environment=OSTREE_GRUB2_EXEC=/{paths.GRUB_MENU_GENERATOR}
"""

# On a machine that runs an image, packages change only by the next image, and GRUB's state is
# not below the /boot that these expect.
_ONLY_ELSEWHERE = f"""{MARK}: of no use if packages are part of the image.
[Unit]
ConditionPathExists=!{paths.OSTREE_BOOTED}
"""
_USELESS_UNITS = (
    "apt-daily.service",
    "apt-daily.timer",
    "apt-daily-upgrade.service",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.service",
    "dpkg-db-backup.timer",
    "grub-common.service",
    "grub2-common.service",  # its name from GRUB 2.14 on
    "unattended-upgrades.service",
)

# Also for an openssh-server without a unit of its own, or a first boot cut short.
_SSH_HOST_KEYS = f"""{MARK}: the image has no SSH host keys.
[Unit]
Description=Make SSH host keys
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
After=sshd-keygen.service

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A
"""
_SSH_WANTS_KEYS = f"""{MARK}: the image has no SSH host keys.
[Unit]
Wants=bootc-ssh-host-keys.service
After=bootc-ssh-host-keys.service
"""

_APT_MARK = "// Written by `bootc container prepare`"
_APT_REFUSAL = (
    "echo 'Packages are part of the image: add them to its Containerfile, then run bootc upgrade.'"
    " >&2"
)
_APT = f"""\
{_APT_MARK}; apt.conf(5).

// An image has one kernel. Unprotected, autoremove takes all but the newest.
APT::Protect-Kernels "false";

// On a machine that runs an image, dpkg would fail halfway, on a read-only /usr.
DPkg::Pre-Invoke {{
  "test ! -e {paths.OSTREE_BOOTED} || test -w /usr || {{ {_APT_REFUSAL}; exit 1; }}";
}};
"""

FILES = (
    ImageFile(
        path=f"usr/lib/{paths.PREPARE_ROOT_CONF}",
        text=_PREPARE_ROOT,
        purpose="the system's root and /usr are read-only",
    ),
    ImageFile(
        path=f"usr/lib/{paths.INSTALL_CONFIG_D}/00-debian.toml",
        text=_INSTALL,
        purpose="install defaults",
    ),
    ImageFile(
        path=str(paths.GRUB_MENU_GENERATOR),
        text=_GRUB_MENU,
        purpose="libostree makes the GRUB menu with it",
        mode=0o755,
    ),
    ImageFile(
        path=str(paths.FINALIZE_DROP_IN),
        text=_FINALIZE,
        purpose="so does an update when the shutdown finishes it",
    ),
    ImageFile(
        path="etc/apt/apt.conf.d/50bootc",
        text=_APT,
        purpose="autoremove removes old kernels, and on a host apt prints why it refuses",
    ),
    ImageFile(
        path="usr/lib/systemd/system/bootc-ssh-host-keys.service",
        text=_SSH_HOST_KEYS,
        purpose="each machine makes its own",
    ),
    ImageFile(
        path="usr/lib/systemd/system/ssh.service.d/50-bootc-host-keys.conf",
        text=_SSH_WANTS_KEYS,
        purpose="before the SSH server starts",
    ),
    *(
        ImageFile(
            path=f"usr/lib/systemd/system/{unit}.d/50-bootc.conf",
            text=_ONLY_ELSEWHERE,
            purpose="does not run if packages are part of the image",
        )
        for unit in _USELESS_UNITS
    ),
)
# Where the units look for it. Packages put a program there; pip puts it into /usr/local.
PROGRAM = ImageFile(
    path="usr/bin/bootc", text=_PROGRAM, purpose="what the units of bootc run", mode=0o755
)
_PRESET = "usr/lib/systemd/system-preset/89-bootc.preset"
PATHS = (
    *(file.path for file in FILES),
    *(file.path for file in SHIPPED),
    *(link.path for link in LINKS),
    _PRESET,
)
_UNITS = tuple(path for path in PATHS if path.rpartition("/")[0] == SYSTEM_UNITS)
_UNMARKED = {file.path: file.unmarked_sha256 for file in SHIPPED}
_MARKS = (MARK, _MARK_AFTER_SHEBANG, f"{_SHELL}\n{MARK}", _APT_MARK)


def preset(disabled_units: Collection[str]) -> ImageFile:
    """Return the preset that keeps off what is off in the image.

    The first boot applies presets to all units. systemd's default for a unit that no preset
    names is `enable`, so what the image's builder disabled would come back; and 90-systemd.preset
    would change /etc on every machine. An image's own presets sort before this one. It names
    the units, as packages that a derived image adds apply presets as well, to be enabled.
    """
    lines = (
        f"{MARK}: units are enabled when the image is built.",
        *(f"disable {unit}" for unit in sorted(disabled_units)),
    )
    return ImageFile(
        path=_PRESET,
        text="".join(f"{line}\n" for line in lines),
        purpose="the first boot enables no units",
    )


def image_files(
    texts: Mapping[str, str], present: Mapping[str, str], disabled_units: Collection[str]
) -> tuple[ImageFile, ...]:
    """Return all files that an image is to have.

    `texts` are those of the package's data, `present` is what is at their paths now (see
    `files_to_write`). A unit that is not there yet counts as disabled, as it will be.
    """
    added = {path.rpartition("/")[2] for path in _UNITS if path not in present}
    return (*FILES, *_shipped(texts), preset({*disabled_units, *added}))


def _shipped(texts: Mapping[str, str]) -> tuple[ImageFile, ...]:
    return (
        *(
            ImageFile(
                path=file.path,
                text=_marked(texts[file.path]),
                purpose=file.purpose,
                mode=file.mode,
            )
            for file in SHIPPED
        ),
        *(
            ImageFile(path=link.path, text=link.target, purpose=link.purpose, is_link=True)
            for link in LINKS
        ),
    )


def _marked(text: str) -> str:
    mark = f"{MARK}; bootc-units(7).\n"
    if text.startswith(f"{_SHELL}\n"):
        return text.replace(f"{_SHELL}\n", f"{_SHELL}\n{mark}", 1)
    return mark + text


def files_to_write(
    wanted: Iterable[ImageFile], present: Mapping[str, str]
) -> tuple[ImageFile, ...]:
    """Return those of the `wanted` files that have to be written.

    `present` are the texts at their paths; of a link, its target. A file that is somebody's
    own stays, so that an image can decide otherwise.
    """
    return tuple(file for file in wanted if _is_outdated(present.get(file.path), file))


def foreign_files(wanted: Iterable[ImageFile], present: Mapping[str, str]) -> tuple[str, ...]:
    """Return the paths of those of the `wanted` files where somebody's own stands."""
    return tuple(
        file.path
        for file in wanted
        if (text := present.get(file.path)) is not None and not _is_ours(text, file)
    )


def _is_outdated(present: str | None, wanted: ImageFile) -> bool:
    return present is None or (present != wanted.text and _is_ours(present, wanted))


def _is_ours(present: str, wanted: ImageFile) -> bool:
    if wanted.is_link:
        return present == wanted.text
    return present.startswith(_MARKS) or _sha256(present) == _UNMARKED.get(wanted.path)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
