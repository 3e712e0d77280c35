"""Progress on a terminal: a line per step with its duration, and bars for transfers.

The display is refreshed from the calls that report progress. rich's own refreshing is
a thread, and this program forks; see bootcpy.system.process.run.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Display
from rich.table import Column
from rich.text import Text

from bootcpy.model.base.printable import printable
from bootcpy.model.base.progress import BytesProgress, StepsProgress
from bootcpy.model.base.size import format_size

_REFRESH_INTERVAL_S = 0.1
_WORTH_A_DURATION_S = 0.1
_SHORT_DIGEST = slice(len("sha256:"), len("sha256:") + 12)  # as podman shortens them
_TOTAL = ""


class _Rate(ProgressColumn):
    """Bytes per second, in the units of the column beside it."""

    def render(self, task: Task) -> Text:
        """Return the rate, which takes two reports to know."""
        return Text("" if task.speed is None else f"{format_size(int(task.speed))}/s")


class _TimeLeft(TimeRemainingColumn):
    """The time that the rest will take."""

    def render(self, task: Task) -> Text:
        """Return it with the word that tells it from a duration."""
        return super().render(task).append(" left")


@contextmanager
def opened(console: Console | None = None) -> Generator["Terminal"]:
    """Return a sink that draws on stderr; the terminal is plain again afterwards."""
    whole = Column(no_wrap=True)  # two lines for each bar would be worse than an ellipsis
    display = Display(
        TextColumn("  {task.description}", table_column=whole, markup=False),
        BarColumn(bar_width=16),
        DownloadColumn(binary_units=True, table_column=whole),
        _Rate(table_column=whole),
        _TimeLeft(compact=True, table_column=whole),
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
        self._transfers: dict[str, dict[str, TaskID]] = {}
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
        """Move the bars: one for all, one for each layer under way; take them away at the end."""
        if event.is_complete:
            for task in self._transfers.pop(event.id, {}).values():
                self._display.remove_task(task)
            self._display.refresh()
            return
        now = time.monotonic()
        if event.id not in self._transfers:
            self.note(event.description)
        elif now < self._next_refresh:
            return
        self._next_refresh = now + _REFRESH_INTERVAL_S
        self._draw(event)
        self._display.refresh()

    def _draw(self, event: BytesProgress) -> None:
        bars = self._transfers.setdefault(event.id, {})
        text = f"{event.steps} of {event.steps_total} layers"
        self._move(bars, _TOTAL, text, event.bytes, event.bytes_total)
        # A single layer is the whole.
        layers = event.subtasks if event.steps_total > 1 else ()
        running = {each.id: each for each in layers if 0 < each.bytes < each.bytes_total}
        for ended in bars.keys() - running.keys() - {_TOTAL}:
            self._display.remove_task(bars.pop(ended))
        for each in running.values():
            text = f"{each.subtask} {each.id[_SHORT_DIGEST]}"
            self._move(bars, each.id, text, each.bytes, each.bytes_total)

    def _move(
        self, bars: dict[str, TaskID], key: str, text: str, done_bytes: int, total_bytes: int
    ) -> None:
        text = printable(text)
        if key not in bars:
            bars[key] = self._display.add_task(text, total=total_bytes)
        self._display.update(bars[key], description=text, completed=done_bytes)

    def stepped(self, event: StepsProgress) -> None:
        """Draw nothing: the steps of a task are told by `step` and `note`."""

    def _print(self, mark: str, style: str, text: str) -> None:
        line = Text("  " * self._depth).append(mark, style=style).append(f" {printable(text)}")
        self._display.console.print(line)
        self._display.refresh()
