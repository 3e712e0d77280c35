"""What is on a disk, in the words of a plan or a refusal."""

import json
from collections.abc import Mapping, Sequence

from bootcpy.errors import TargetError
from bootcpy.model.base.listing import shown_few
from bootcpy.model.base.printable import printable
from bootcpy.model.base.size import format_size
from bootcpy.model.install.layout import UNFINISHED_NAME
from bootcpy.model.install.partition_table import FoundTable
from bootcpy.model.install.target import UNFINISHED

_LONGEST_NAME = 72  # characters; GPT has room for 36
_TABLES = frozenset({"gpt", "PMBR", "dos", "atari", "sun", "mac", "bsd"})

Signature = Mapping[str, str | None]


def is_partition_table(signature: Signature) -> bool:
    """Tell whether one of the findings of `wipefs --json` is a partition table."""
    return signature.get("type") in _TABLES


def parse_signatures(text: str) -> list[Signature]:
    """Read what `wipefs --json` prints; nothing if the disk is empty.

    Raises:
        TargetError: it is something else.
    """
    try:
        found = json.loads(text or "{}").get("signatures") or []
        return [
            {key: None if value is None else str(value) for key, value in each.items()}
            for each in found
        ]
    except (ValueError, AttributeError, TypeError, RecursionError) as e:
        raise TargetError(
            f"the output of wipefs about the disk cannot be parsed: {e!r}",
            hint="run `wipefs --json` on the disk to see it, or choose another disk",
        ) from e


def describe_contents(signatures: Sequence[Signature], table: FoundTable | None) -> tuple[str, ...]:
    """Return what is on a disk, each thing in a few words; nothing if it is empty.

    `signatures` are the findings of `wipefs --json`; `table` is None if there is none that
    can be read.
    """
    others = dict.fromkeys(
        _describe_signature(each) for each in signatures if not is_partition_table(each)
    )
    if not any(map(is_partition_table, signatures)):
        return tuple(others)
    if table is None:
        return ("a damaged partition table", *others)
    if any(partition.name == UNFINISHED_NAME for partition in table.partitions):
        return (UNFINISHED,)
    return (_describe_table(table), *others)


def _describe_signature(signature: Signature) -> str:
    label = signature.get("label")
    named = f" labelled '{printable(label, limit=_LONGEST_NAME)}'" if label else ""
    kind = printable(signature.get("type") or "unknown", limit=_LONGEST_NAME)
    return f"{kind} data{named}"


def _describe_table(table: FoundTable) -> str:
    partitions = [
        f"{printable(p.name, limit=_LONGEST_NAME) or 'unnamed'} {format_size(p.size_bytes)}"
        for p in table.partitions
    ]
    names = f": {shown_few(partitions, limit=8, separator='; ')}" if partitions else ""
    count = len(partitions)
    plural = "" if count == 1 else "s"
    return f"a {table.label} partition table with {count} partition{plural}{names}"
