"""The small files that `bootc container prepare` writes into an image."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bootcpy import paths

# A file that does not start so is somebody's own, and stays as it is.
MARK = "# Written by `bootc container prepare`"
_MARK_AFTER_SHEBANG = f"#!/usr/bin/python3 -sE\n{MARK}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """A file to write; `path` is relative to `/`."""

    path: str
    text: str
    purpose: str  # after "wrote /path: "
    mode: int = 0o644


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

_FINALIZE = f"""{MARK}: the GRUB menu changes with the boot entries.
[Service]
Environment=OSTREE_GRUB2_EXEC=/{paths.GRUB_MENU_GENERATOR}
"""

# On a machine that runs an image, packages change only by the next image, and GRUB's state is
# not below the /boot that these expect.
_ONLY_ELSEWHERE = f"""{MARK}: of no use where packages come with the image.
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
    "echo 'Packages come with the image here: add them to its Containerfile, then bootc upgrade.'"
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
        purpose="so does an update, when it is finished at shutdown",
    ),
    ImageFile(
        path="etc/apt/apt.conf.d/50bootc",
        text=_APT,
        purpose="autoremove takes superseded kernels, and apt explains itself on a host",
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
            purpose="does not run where packages come with the image",
        )
        for unit in _USELESS_UNITS
    ),
)
_PRESET = "usr/lib/systemd/system-preset/89-bootc.preset"
PATHS = (*(file.path for file in FILES), _PRESET)


def preset(disabled_units: Collection[str]) -> ImageFile:
    """Return the preset that keeps off what is off in the image.

    The first boot applies presets to all units. systemd's default for a unit that no preset
    names is `enable`, so what the image's builder disabled would come back; and 90-systemd.preset
    would change /etc on every machine. An image's own presets sort before this one. It names
    the units, as packages that a derived image adds apply presets as well, to be enabled.
    """
    lines = (
        f"{MARK}: what is enabled was decided in the build.",
        *(f"disable {unit}" for unit in sorted(disabled_units)),
    )
    return ImageFile(
        path=_PRESET,
        text="".join(f"{line}\n" for line in lines),
        purpose="the first boot enables nothing by itself",
    )


def files_to_write(
    present: Mapping[str, str], disabled_units: Collection[str]
) -> tuple[ImageFile, ...]:
    """Return the files that have to be written, given the texts `present` by path.

    A file that is somebody's own stays, so that an image can decide otherwise.
    """
    return tuple(
        file
        for file in (*FILES, preset(disabled_units))
        if _is_outdated(present.get(file.path), file.text)
    )


def foreign_files(present: Mapping[str, str]) -> tuple[str, ...]:
    """Return those of PATHS where somebody's own file stands."""
    return tuple(path for path in PATHS if (t := present.get(path)) is not None and not _is_ours(t))


def _is_outdated(present: str | None, wanted: str) -> bool:
    return present is None or (present != wanted and _is_ours(present))


def _is_ours(text: str) -> bool:
    return text.startswith((MARK, _MARK_AFTER_SHEBANG, _APT_MARK))
