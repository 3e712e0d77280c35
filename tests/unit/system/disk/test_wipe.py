import json
from pathlib import Path

from bootcpy.model.base.size import MIB
from bootcpy.system.disk.wipe import clear_edges, wipe
from tests.unit.conftest import FakeTool


def _full_disk(path: Path, size_bytes: int) -> Path:
    path.write_bytes(b"\xff" * size_bytes)
    return path


def _zeroed(disk: Path) -> list[int]:
    """Return which MiB of the disk are empty."""
    content = disk.read_bytes()
    return [at for at in range(len(content) // MIB) if not any(content[at * MIB :][:MIB])]


def test_clear_edges_zeroes_both_ends_of_each_range(tmp_path: Path) -> None:
    disk = _full_disk(tmp_path / "disk", 8 * MIB)
    clear_edges(disk, [(MIB, 4 * MIB), (6 * MIB, 6 * MIB)])
    assert _zeroed(disk) == [1, 3]


def test_wipe_stays_within_a_disk_whose_table_does_not(tmp_path: Path, fake_tool: FakeTool) -> None:
    sectors = MIB // 512
    table = [
        {"start": 2 * sectors, "size": 100 * sectors, "type": "83"},
        {"start": 50 * sectors, "size": 10 * sectors, "type": "83"},
    ]
    fake_tool("wipefs")
    fake_tool(
        "sfdisk",
        stdout=json.dumps({"partitiontable": {"label": "dos", "partitions": table}}) + "\n",
    )
    disk = _full_disk(tmp_path / "disk", 8 * MIB)
    wipe(disk, 8 * MIB)
    assert disk.stat().st_size == 8 * MIB
    assert _zeroed(disk) == [0, 2, 7]
