"""Writing to disk while there is still work for the processor.

The kernel collects what is written in memory, gigabytes of it on a large machine, and an
installation would then wait for all of it at the end. Asking for it early lets the disk
work beside the processes that hash and store.
"""

import time
from pathlib import Path
from types import TracebackType
from typing import Self

from bootcpy.system.process.run import Spawned, spawn

_INTERVAL_S = 0.5


class WriteBehind:
    """Has a file system written out now and then, never waiting for it."""

    def __init__(self, path: Path) -> None:
        """Care for the file system that `path` is on."""
        self._path = path
        self._running: Spawned | None = None
        self._started_s = 0.0

    def start_writing(self) -> None:
        """Have what was written so far go to disk, unless that is under way."""
        if self._running is not None and self._running.poll() is None:
            return
        if time.monotonic() - self._started_s >= _INTERVAL_S:
            self._started_s = time.monotonic()
            self._running = spawn(["sync", "--file-system", self._path])

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the one that is under way; it cannot be stopped anyway."""
        if self._running is not None:
            self._running.wait()
