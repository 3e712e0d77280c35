"""Which boot loader an installation sets up."""

from enum import StrEnum


class Bootloader(StrEnum):
    """What `--bootloader` may name."""

    GRUB = "grub"
    GRUB_CC = "grub-cc"
    SYSTEMD = "systemd"
    NONE = "none"
