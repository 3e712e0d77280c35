"""A partition table as it was found on a disk, of whatever kind."""

import json
from dataclasses import dataclass
from typing import Any

from bootcpy.errors import TargetError

_SECTOR_BYTES = 512  # where sfdisk says nothing else
# Raised by what is no JSON, or another document than sfdisk's; a number may be infinite.
_UNREADABLE = (
    *(ValueError, LookupError, TypeError, AttributeError),
    *(OverflowError, RecursionError),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPartition:
    """One entry of the table."""

    start_bytes: int
    size_bytes: int
    type: str  # on GPT a UUID, on others a number; as sfdisk writes it
    uuid: str | None = None
    name: str = ""

    @property
    def end_bytes(self) -> int:
        """The first byte behind the partition."""
        return self.start_bytes + self.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTable:
    """The table; a damaged one may name what lies beyond the end of the disk."""

    label: str  # gpt, dos, ...
    id: str
    partitions: tuple[FoundPartition, ...] = ()


def parse_table(text: str) -> FoundTable | None:
    """Read what `sfdisk --json` prints; None if that is nothing: there is no table.

    Raises:
        TargetError: it is something else.
    """
    if not text.strip():
        return None
    try:
        return _read_table(json.loads(text)["partitiontable"])
    except _UNREADABLE as e:
        raise TargetError(
            f"the output of sfdisk about the partition table cannot be parsed: {e!r}",
            hint="run `sfdisk --json` on the disk to see it, or choose another disk",
        ) from e


def _read_table(table: dict[str, Any]) -> FoundTable:
    sector_bytes = int(table.get("sectorsize", _SECTOR_BYTES))
    return FoundTable(
        label=str(table["label"]),
        id=str(table.get("id", "")),
        partitions=tuple(
            FoundPartition(
                start_bytes=int(each["start"]) * sector_bytes,
                size_bytes=int(each["size"]) * sector_bytes,
                type=str(each["type"]),
                uuid=each.get("uuid"),
                name=str(each.get("name", "")),
            )
            for each in table.get("partitions", [])
        ),
    )
