"""Where an installation puts a system: a mounted tree, and what boots it beside that."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class BiosBoot:
    """Where GRUB's BIOS core image goes: a range of the disk that has no file system."""

    disk: Path  # device or file that holds the whole disk; its first sector is the MBR
    start_bytes: int
    size_bytes: int
    sector_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTree:
    """A mounted physical root; valid only while the context that made it lasts."""

    root: Path  # where the root file system is mounted
    root_uuid: str
    disk: Path
    esp: Path | None = None  # device of the EFI system partition; formatted, not mounted
    esp_uuid: str | None = None  # partition UUID, for NVRAM entries
    esp_number: int | None = None
    bios_boot: BiosBoot | None = None
