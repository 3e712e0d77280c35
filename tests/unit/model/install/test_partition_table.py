import json

import pytest

from bootcpy.errors import TargetError
from bootcpy.model.install.partition_table import FoundPartition, FoundTable, parse_table
from tests.refusals import refused

GPT = {
    "label": "gpt",
    "id": "B7D31B21-09ED-F84A-81DC-0A3336D72F8D",
    "device": "disk.img",
    "unit": "sectors",
    "firstlba": 2048,
    "lastlba": 131038,
    "sectorsize": 4096,
    "partitions": [
        {
            "node": "disk.img1",
            "start": 256,
            "size": 512,
            "type": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
            "uuid": "1854E2C2-4902-FC43-B4E7-C5F7BABFED68",
            "name": "root",
        }
    ],
}
# As util-linux before 2.37 prints it, without the size of a sector.
DOS = {"label": "dos", "id": "0xc0b62d7c", "partitions": [{"start": 1, "size": 2, "type": "83"}]}


@pytest.mark.parametrize(
    ("printed", "table"),
    [
        (
            GPT,
            FoundTable(
                label="gpt",
                id="B7D31B21-09ED-F84A-81DC-0A3336D72F8D",
                partitions=(
                    FoundPartition(
                        start_bytes=1 << 20,
                        size_bytes=2 << 20,
                        type="0FC63DAF-8483-4772-8E79-3D69D8477DE4",
                        uuid="1854E2C2-4902-FC43-B4E7-C5F7BABFED68",
                        name="root",
                    ),
                ),
            ),
        ),
        (
            DOS,
            FoundTable(
                label="dos",
                id="0xc0b62d7c",
                partitions=(FoundPartition(start_bytes=512, size_bytes=1024, type="83"),),
            ),
        ),
        ({"label": "gpt"}, FoundTable(label="gpt", id="")),
    ],
    ids=["gpt", "dos", "empty"],
)
def test_parse_table(printed: dict[str, object], table: FoundTable) -> None:
    assert parse_table(json.dumps({"partitiontable": printed})) == table


def test_parse_table_of_a_disk_without_one() -> None:
    assert parse_table("\n") is None


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[]",
        "{}",
        '{"partitiontable": null}',
        '{"partitiontable": {"label": "gpt", "sectorsize": "?"}}',
        '{"partitiontable": {"label": "gpt", "partitions": [{"start": 1}]}}',
        '{"partitiontable": {"label": "gpt", "partitions": "no"}}',
        '{"partitiontable": {"label": "dos", "partitions": [{"start": null, "size": 1}]}}',
        "[" * 200_000,
    ],
    ids=lambda text: text[:30],
)
def test_parse_table_refuses_what_sfdisk_never_says(text: str) -> None:
    with refused(
        TargetError,
        "sfdisk",
        hint="run `sfdisk --json` on the disk to see it, or choose another disk",
    ):
        parse_table(text)
