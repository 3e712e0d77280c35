"""Progress on a terminal: a line per step with its duration, and a bar for transfers.

The display is refreshed from the calls that report progress. rich's own refreshing is
a thread, and this program forks; see bootcpy.system.run.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Display
from rich.text import Text

from bootcpy.cli.progress import is_complete
from bootcpy.model.progress import BytesProgress, StepsProgress

_REFRESH_INTERVAL_S = 0.1
_WORTH_A_DURATION_S = 0.1


@contextmanager
def opened(console: Console | None = None) -> Generator["Terminal"]:
    """Return a sink that draws on stderr; the terminal is plain again afterwards."""
    display = Display(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=24),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TextColumn("{task.fields[layers]}"),
        TimeElapsedColumn(),
        console=console or Console(stderr=True, highlight=False),
        auto_refresh=False,
        transient=True,
    )
    with display:
        yield Terminal(display)


class Terminal:
    """The sink; made by `opened`."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._transfers: dict[str, TaskID] = {}
        self._next_refresh = 0.0
        self._depth = 0

    @contextmanager
    def step(self, text: str) -> Generator[None]:
        """Print the step when it starts, and tick it off with its duration when it ends."""
        self._print("→", "cyan", text)
        self._depth += 1
        started = time.monotonic()
        done = False
        try:
            yield
            done = True
        finally:
            self._depth -= 1
            took = time.monotonic() - started
            if not done:
                self._print("✗", "red", text)
            elif took >= _WORTH_A_DURATION_S:
                self._print("✓", "green", f"{text} ({took:.1f} s)")

    def note(self, text: str) -> None:
        """Print one line."""
        self._print(" ", "", text)

    def transferred(self, event: BytesProgress) -> None:
        """Move the transfer's bar; take it away when the transfer is complete."""
        if is_complete(event):
            task = self._transfers.pop(event.id, None)
            if task is not None:
                self._display.remove_task(task)
                self._display.refresh()
            return
        layers = f"layer {min(event.steps + 1, event.steps_total)}/{event.steps_total}"
        if event.id not in self._transfers:
            self._transfers[event.id] = self._display.add_task(event.description, layers=layers)
        self._display.update(
            self._transfers[event.id],
            total=event.bytes_total,
            completed=event.bytes,
            layers=layers,
        )
        now = time.monotonic()
        if now >= self._next_refresh:
            self._next_refresh = now + _REFRESH_INTERVAL_S
            self._display.refresh()

    def stepped(self, event: StepsProgress) -> None:
        """Draw nothing: the steps of a task are told by `step` and `note`."""

    def _print(self, mark: str, style: str, text: str) -> None:
        line = Text("  " * self._depth).append(mark, style=style).append(f" {text}")
        self._display.console.print(line)
        self._display.refresh()
