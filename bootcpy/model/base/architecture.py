"""What differs between machine architectures: names, partitions, firmware; a row for each."""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class UefiNames:
    """How a machine's UEFI names its files; see UEFI 2.10, table 3-6."""

    suffix: str  # as in grubx64.efi
    grub_signed: Path  # the directory of the signed GRUB below an image's root


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One kind of machine, as others name it and as its firmware boots it.

    Without a `root_type` no disk is laid out for it.
    """

    machine: str  # as `uname -m` prints it
    oci: str  # in images' configurations: Go's name
    rust: str  # in bootc's configuration files
    root_type: UUID | None = None  # Discoverable Partitions Specification
    bios: bool = False
    uefi: UefiNames | None = None
    open_firmware: bool = False

    @classmethod
    def of(cls, machine: str) -> "Architecture":
        """Return the architecture that `uname -m` prints; one not known here has that name only."""
        return _KNOWN.get(machine) or cls(machine=machine, oci=machine, rust=machine)


_ROWS = (
    Architecture(
        machine="x86_64",
        oci="amd64",
        rust="x86_64",
        root_type=UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"),
        bios=True,
        uefi=UefiNames(suffix="x64", grub_signed=Path("usr/lib/grub/x86_64-efi-signed")),
    ),
    Architecture(
        machine="aarch64",
        oci="arm64",
        rust="aarch64",
        root_type=UUID("b921b045-1df0-41c3-af44-4c6f280d3fae"),
        uefi=UefiNames(suffix="aa64", grub_signed=Path("usr/lib/grub/arm64-efi-signed")),
    ),
    Architecture(
        machine="ppc64le",
        oci="ppc64le",
        rust="powerpc64",
        root_type=UUID("c31c45e6-3f39-412e-80fb-4809c4980599"),
        open_firmware=True,
    ),
    Architecture(
        machine="s390x",
        oci="s390x",
        rust="s390x",
        root_type=UUID("5eead9a9-fe09-4a1e-a1d7-520d00531306"),
    ),
    Architecture(machine="ppc64", oci="ppc64", rust="powerpc64"),
    Architecture(machine="armv7l", oci="arm", rust="arm"),
    Architecture(machine="i686", oci="386", rust="x86"),
    Architecture(machine="i386", oci="i386", rust="x86"),
)
_KNOWN = {row.machine: row for row in _ROWS}

# Those that a disk can be laid out for.
WITH_LAYOUT = tuple(row.machine for row in _ROWS if row.root_type is not None)
