"""What is on a disk, in the words of a plan or a refusal."""

from collections.abc import Mapping, Sequence
from typing import Any

from bootcpy.model.layout import UNFINISHED_NAME
from bootcpy.model.size import format_size
from bootcpy.model.target import UNFINISHED

_TABLES = frozenset({"gpt", "PMBR", "dos", "atari", "sun", "mac", "bsd"})
_SECTOR_BYTES = 512  # where sfdisk says nothing else

Signature = Mapping[str, str | None]


def is_partition_table(signature: Signature) -> bool:
    """Tell whether one of the findings of `wipefs --json` is a partition table."""
    return signature.get("type") in _TABLES


def describe_contents(signatures: Sequence[Signature], table: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what is on a disk, each thing in a few words; nothing if it is empty.

    `signatures` are the findings of `wipefs --json`, `table` is the partition table as
    `sfdisk --json` describes it, empty if there is none that can be read.
    """
    others = dict.fromkeys(
        _describe_signature(each) for each in signatures if not is_partition_table(each)
    )
    if not any(map(is_partition_table, signatures)):
        return tuple(others)
    if any(p.get("name") == UNFINISHED_NAME for p in table.get("partitions", [])):
        return (UNFINISHED,)
    return (_describe_table(table), *others)


def _describe_signature(signature: Signature) -> str:
    label = signature.get("label")
    named = f" labelled {label!r}" if label else ""
    return f"{signature.get('type') or 'unknown'} data{named}"


def _describe_table(table: Mapping[str, Any]) -> str:
    if "label" not in table:
        return "a damaged partition table"
    sector_bytes = table.get("sectorsize", _SECTOR_BYTES)
    partitions = [
        f"{p.get('name') or 'unnamed'} {format_size(p['size'] * sector_bytes)}"
        for p in table.get("partitions", [])
    ]
    names = f": {'; '.join(partitions)}" if partitions else ""
    count = len(partitions)
    plural = "" if count == 1 else "s"
    return f"a {table['label']} partition table with {count} partition{plural}{names}"
