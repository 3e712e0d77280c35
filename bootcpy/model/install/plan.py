"""What an installation is going to do, as data: the dry run prints it, the verb carries it out."""

from dataclasses import dataclass
from typing import Any

from bootcpy.model.boot.kargs import KernelArguments
from bootcpy.model.boot.loader import Bootloader
from bootcpy.model.image.reference import ImageReference, SignedImageReference
from bootcpy.model.install.layout import DiskFacts, DiskLayout, Filesystem


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployPlan:
    """What goes onto a mounted root: the part that does not depend on how it was mounted."""

    source: ImageReference
    follows: SignedImageReference  # what the installed system takes its upgrades from
    manifest_digest: str
    machine: str  # as `uname -m` prints it
    stateroot: str = "default"
    kargs: KernelArguments
    bootloader: Bootloader = Bootloader.GRUB
    generic_image: bool = False
    skip_bound_images: bool = False
    bls_append_except_default: str | None = None
    boot_fstab: str | None = None  # the line for /boot, when it is a file system of its own
    root_ssh_authorized_keys: str | None = None  # the file's text
    source_date_epoch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallPlan:
    """Every choice of `install to-disk`, made before the first byte is written."""

    disk: DiskFacts
    layout: DiskLayout
    filesystem: Filesystem
    wipe: bool
    direct_io: bool  # for loop devices on a disk file
    kargs: tuple[str, ...]  # in final order, as far as they are known before the import
    deploy: DeployPlan
    image_version: str | None
    image_layers: int
    image_bytes: int  # unpacked, estimated where the manifest gives compressed sizes
    seed: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain data with camelCase keys; sizes are bytes."""
        deploy = self.deploy
        return {
            "disk": {
                "path": self.disk.path,
                "sizeBytes": self.disk.size_bytes,
                "sectorBytes": self.disk.sector_bytes,
                "model": self.disk.model,
                "serial": self.disk.serial,
                "viaLoopback": self.disk.via_loopback,
                "contents": list(self.disk.contents),
                "wipe": self.wipe,
            },
            "partitionTable": {
                "type": "gpt",
                "uuid": str(self.layout.disk_uuid),
                "partitions": [
                    {
                        "number": p.number,
                        "role": p.role.value,
                        "name": p.name,
                        "type": str(p.type_uuid),
                        "uuid": str(p.uuid),
                        "startBytes": p.start_bytes,
                        "sizeBytes": p.size_bytes,
                        "filesystem": p.filesystem,
                        "filesystemId": p.filesystem_id,
                        "label": p.label,
                    }
                    for p in self.layout.partitions
                ],
            },
            "image": {
                "source": str(deploy.source),
                "target": str(deploy.follows),
                "digest": deploy.manifest_digest,
                "version": self.image_version,
                "layers": self.image_layers,
                "unpackedBytes": self.image_bytes,
            },
            "architecture": deploy.machine,
            "stateroot": deploy.stateroot,
            "kernelArguments": list(self.kargs),
            "kernelArgumentsDeleted": [
                *deploy.kargs.config_delete,
                *deploy.kargs.command_line_delete,
            ],
            "bootloader": deploy.bootloader.value,
            "genericImage": deploy.generic_image,
            "rootSshAuthorizedKeys": deploy.root_ssh_authorized_keys is not None,
            "seed": self.seed,
        }
