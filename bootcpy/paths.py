"""Every path and file name that is shared with the operating system.

Paths that exist inside an image, a deployment or a physical root are relative
(`Path("usr/lib/...")`), so that they join onto any root; paths of the running
system are absolute.
"""

from pathlib import Path

# The running system.
OSTREE_BOOTED = Path("/run/ostree-booted")
SYSROOT = Path("/sysroot")
CONTAINER_ENV = Path("/run/.containerenv")
DOCKER_ENV = Path("/.dockerenv")
EFI_VARIABLES = Path("/sys/firmware/efi/efivars")
RUN = Path("/run/bootc")
INSTALL_ROOT = Path("/run/bootc/mounts/rootfs")
REBOOT_REQUIRED = Path("/run/reboot-required")

# Inside an image or a deployment.
USR_LIB = Path("usr/lib")
MODULES = Path("usr/lib/modules")
KARGS_D = Path("usr/lib/bootc/kargs.d")
BOUND_IMAGES_D = Path("usr/lib/bootc/bound-images.d")
PREPARE_ROOT_CONF = Path("ostree/prepare-root.conf")  # below etc/ and usr/lib/
GRUB_MENU_GENERATOR = Path("usr/lib/bootc/grub-menu")
FINALIZE_DROP_IN = Path(
    "usr/lib/systemd/system/ostree-finalize-staged.service.d/50-bootc-grub-menu.conf"
)
# Install configuration: bases in rising precedence, as systemd's drop-in rules.
INSTALL_CONFIG_BASES = (Path("usr/lib"), Path("usr/local/lib"), Path("etc"), Path("run"))
INSTALL_CONFIG_D = Path("bootc/install")

# Inside a physical root.
REPO = Path("ostree/repo")
ALEPH = Path(".bootc-aleph.json")
GRUB_MENU_LINK = Path("boot/grub/grub.cfg")
BOOTC_STATE = Path("ostree/bootc")  # its mtime changes whenever the status does

# Registry credentials, in the order bootc looks for them (root, then user).
ROOT_AUTH_FILES = (
    Path("/run/ostree/auth.json"),
    Path("/etc/ostree/auth.json"),
    Path("/usr/lib/ostree/auth.json"),
)
