from typing import Any

import pytest

from bootcpy.model.disk_contents import Signature, describe_contents

GPT, PMBR = {"type": "gpt"}, {"type": "PMBR"}
EXT4 = {"type": "ext4", "label": "data"}
TABLE = {
    "label": "gpt",
    "sectorsize": 4096,
    "partitions": [{"name": "root", "size": 262144}, {"size": 256}],
}


@pytest.mark.parametrize(
    ("signatures", "table", "words"),
    [
        ([], {}, ()),
        ([EXT4], {}, ("ext4 data labelled 'data'",)),
        ([{"type": "LVM2_member", "label": None}], {}, ("LVM2_member data",)),
        ([{"type": None}], {}, ("unknown data",)),
        ([EXT4, EXT4], {}, ("ext4 data labelled 'data'",)),
        (
            [GPT, GPT, PMBR],
            TABLE,
            ("a gpt partition table with 2 partitions: root 1 GiB; unnamed 1 MiB",),
        ),
        ([{"type": "dos"}], {"label": "dos"}, ("a dos partition table with 0 partitions",)),
        (
            [GPT],
            {"label": "gpt", "partitions": [{"name": "a", "size": 2048}]},
            ("a gpt partition table with 1 partition: a 1 MiB",),
        ),
        ([GPT, EXT4], {}, ("a damaged partition table", "ext4 data labelled 'data'")),
        (
            [GPT, EXT4],
            {"label": "gpt", "partitions": [{"name": "unfinished-install", "size": 1}]},
            ("an unfinished installation",),
        ),
    ],
)
def test_describe_contents(
    signatures: list[Signature], table: dict[str, Any], words: tuple[str, ...]
) -> None:
    assert describe_contents(signatures, table) == words
