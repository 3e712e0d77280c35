from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid5

import pytest

from bootcpy.model.base.size import MIB
from bootcpy.model.install.layout import ESP_TYPE, Partition, PartitionRole
from bootcpy.system.disk import filesystem
from tests.unit.conftest import FakeTool

FS_UUID = "0b7e6b4f-8f0d-4f43-9ad0-6a7f4a1a8a5e"
ROOT = Partition(
    number=3,
    role=PartitionRole.ROOT,
    name="root",
    type_uuid=UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"),
    uuid=UUID(int=1),
    start_bytes=514 * MIB,
    size_bytes=4096 * MIB,
    filesystem="ext4",
    filesystem_id=FS_UUID,
    label="root",
)
ESP = Partition(
    number=2,
    role=PartitionRole.ESP,
    name="EFI-SYSTEM",
    type_uuid=ESP_TYPE,
    uuid=UUID(int=2),
    start_bytes=2 * MIB,
    size_bytes=512 * MIB,
    filesystem="vfat",
    filesystem_id="1A2B-3C4D",
    label="EFI-SYSTEM",
)
HASH_SEED = uuid5(UUID(FS_UUID), "hash seed")


@pytest.mark.parametrize(
    ("kind", "reproducible", "call"),
    [
        ("ext4", False, f"-q -F -U {FS_UUID} -L root -O verity /dev/x3"),
        ("ext4", True, f"-q -F -U {FS_UUID} -L root -O verity -E hash_seed={HASH_SEED} /dev/x3"),
        ("xfs", True, f"-q -f -m uuid={FS_UUID} -L root /dev/x3"),
        ("btrfs", True, f"-q -f -U {FS_UUID} -L root /dev/x3"),
    ],
)
def test_make_root_calls_the_tool_as_the_reference_does(
    fake_tool: FakeTool,
    kind: str,
    reproducible: bool,  # noqa: FBT001 - a case
    call: str,
) -> None:
    calls = fake_tool(f"mkfs.{kind}")
    filesystem.make_root(Path("/dev/x3"), replace(ROOT, filesystem=kind), reproducible=reproducible)
    assert calls.read_text() == f"{call}\n"


def test_make_esp_sets_volume_id_and_place(fake_tool: FakeTool) -> None:
    calls = fake_tool("mkfs.fat")
    filesystem.make_esp(Path("/dev/x2"), ESP, sector_bytes=512)
    assert calls.read_text() == ("-I -F 32 -i 1A2B3C4D -n EFI-SYSTEM -h 4096 -S 512 /dev/x2\n")
