import pytest

from bootcpy.errors import TargetError
from bootcpy.model.install.disk_contents import Signature, describe_contents, parse_signatures
from bootcpy.model.install.partition_table import FoundPartition, FoundTable
from tests.refusals import refused

GPT, PMBR = {"type": "gpt"}, {"type": "PMBR"}
EXT4 = {"type": "ext4", "label": "data"}


def table(label: str, *partitions: tuple[str, int]) -> FoundTable:
    found = tuple(
        FoundPartition(start_bytes=1 << 20, size_bytes=size_mib << 20, type="", name=name)
        for name, size_mib in partitions
    )
    return FoundTable(label=label, id="", partitions=found)


@pytest.mark.parametrize(
    ("signatures", "found", "words"),
    [
        ([], None, ()),
        ([EXT4], None, ("ext4 data labelled 'data'",)),
        ([{"type": "LVM2_member", "label": None}], None, ("LVM2_member data",)),
        ([{"type": None}], None, ("unknown data",)),
        ([EXT4, EXT4], None, ("ext4 data labelled 'data'",)),
        (
            [GPT, GPT, PMBR],
            table("gpt", ("root", 1024), ("", 1)),
            ("a gpt partition table with 2 partitions: root 1 GiB; unnamed 1 MiB",),
        ),
        ([{"type": "dos"}], table("dos"), ("a dos partition table with 0 partitions",)),
        (
            [GPT],
            table("gpt", ("a", 1)),
            ("a gpt partition table with 1 partition: a 1 MiB",),
        ),
        (
            [{"type": "ext4\x1b", "label": "a\nb\x1b[1m"}],
            None,
            ("ext4\\x1b data labelled 'a\\nb\\x1b[1m'",),
        ),
        (
            [GPT],
            table("gpt", ("\x1b]0;x\x07", 1), *(("p" * 100, 1) for _ in range(9))),
            (
                "a gpt partition table with 10 partitions: \\x1b]0;x\\x07 1 MiB; "
                + "; ".join([f"{71 * 'p'}… 1 MiB"] * 7)
                + " and 2 more",
            ),
        ),
        ([GPT, EXT4], None, ("a damaged partition table", "ext4 data labelled 'data'")),
        (
            [GPT, EXT4],
            table("gpt", ("unfinished-install", 1)),
            ("an unfinished installation",),
        ),
    ],
)
def test_describe_contents(
    signatures: list[Signature], found: FoundTable | None, words: tuple[str, ...]
) -> None:
    assert describe_contents(signatures, found) == words


@pytest.mark.parametrize(
    ("text", "signatures"),
    [
        ("", []),
        ("{}", []),
        ('{"signatures": null}', []),
        (
            '{"signatures": [{"type": "ext4", "label": null, "n": 1}]}',
            [{"type": "ext4", "label": None, "n": "1"}],
        ),
    ],
)
def test_parse_signatures(text: str, signatures: list[Signature]) -> None:
    assert parse_signatures(text) == signatures


@pytest.mark.parametrize(
    "text",
    ["x", "[]", '{"signatures": 5}', '{"signatures": ["a"]}', "[" * 200_000],
    ids=lambda text: text[:30],
)
def test_parse_signatures_refuses(text: str) -> None:
    with refused(
        TargetError,
        "wipefs",
        hint="run `wipefs --json` on the disk to see it, or choose another disk",
    ):
        parse_signatures(text)
