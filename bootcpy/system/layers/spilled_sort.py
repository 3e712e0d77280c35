"""Sorting more than the memory should hold: what is too much waits in a temporary file."""

import errno
import heapq
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from bootcpy.errors import NoSpaceError

_BUDGET_BYTES: Final = 16 << 20
_OVERHEAD_BYTES: Final = 48  # of one bytes object and its place in a list
_READ_BYTES: Final = 1 << 16
_LENGTH_BYTES: Final = 4


class SpilledSort:
    """Takes byte strings, and yields them in order as often as it is asked.

    Ordered runs of about `budget_bytes` go to an unnamed file in `directory` and are merged.
    """

    def __init__(self, directory: Path, *, budget_bytes: int = _BUDGET_BYTES) -> None:
        """Begin empty; no file is made before it is needed."""
        self._directory = directory
        self._budget = budget_bytes
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._file: IO[bytes] | None = None
        self._ends: list[int] = []
        self._is_sorted = False

    def add(self, item: bytes) -> None:
        """Take one more.

        Raises:
            NoSpaceError: the temporary file does not fit.
        """
        self._held.append(item)
        self._held_bytes += len(item) + _OVERHEAD_BYTES
        self._is_sorted = False
        if self._held_bytes > self._budget:
            self._spill()

    def _spill(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(  # noqa: SIM115 - closed in __exit__
                    dir=self._directory, buffering=_READ_BYTES
                )
            self._held.sort()
            for item in self._held:
                self._file.write(len(item).to_bytes(_LENGTH_BYTES, "big") + item)
            self._file.flush()
            self._ends.append(self._file.tell())
        except OSError as e:
            if e.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            raise NoSpaceError(f"the names of a layer cannot be sorted: {e.strerror}") from e
        self._held.clear()
        self._held_bytes = 0

    def __bool__(self) -> bool:
        """Tell whether there is anything."""
        return bool(self._held or self._ends)

    def __iter__(self) -> Iterator[bytes]:
        """Yield all, in order; nothing may be added meanwhile."""
        if not self._is_sorted:
            self._held.sort()
            self._is_sorted = True
        if self._file is None:
            return iter(self._held)
        starts = [0, *self._ends[:-1]]
        runs = [_run(self._file.fileno(), *place) for place in zip(starts, self._ends, strict=True)]
        return heapq.merge(*runs, self._held)

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()


def _run(fd: int, start: int, end: int) -> Iterator[bytes]:
    """Yield what lies between two places of a file."""
    buffer, place = b"", start
    while place < end or buffer:
        at = 0
        while (body := at + _LENGTH_BYTES) <= len(buffer):
            length = int.from_bytes(buffer[at:body], "big")
            if body + length > len(buffer):
                break
            yield buffer[body : body + length]
            at = body + length
        chunk = os.pread(fd, min(_READ_BYTES, end - place), place)
        place += len(chunk)
        buffer = buffer[at:] + chunk
