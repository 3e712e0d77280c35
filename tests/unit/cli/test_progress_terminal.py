import io
import re
import threading
from dataclasses import replace

import pytest
from rich.console import Console

from bootcpy.cli import progress_terminal
from bootcpy.errors import BootcpyError
from bootcpy.model.base.progress import BytesProgress, LayerBytes
from tests.unit.cli.test_progress import STAGING, transfer


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)


def drawn(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_terminal_shows_steps_and_a_bar_without_a_thread() -> None:
    console = terminal()
    with progress_terminal.opened(console) as sink, sink.step("Importing the image"):
        sink.note("two layers")
        sink.transferred(transfer(1024))
        sink.transferred(transfer(4096, steps=2))
        sink.stepped(STAGING)
        assert threading.active_count() == 1
    text = drawn(console)
    assert "→ Importing the image" in text
    assert "    two layers" in text
    assert "1.0/4.0 KiB" in text
    assert "0 of 2 layers" in text
    assert "\x1b[?25h" in text  # the cursor is back


_FIRST, _SECOND = (f"sha256:{digit * 64}" for digit in "12")


def _of_two(first: int, second: int) -> BytesProgress:
    layers = tuple(
        LayerBytes(
            subtask="layer",
            description="",
            id=name,
            bytes_cached=0,
            bytes=count << 20,
            bytes_total=100 << 20,
        )
        for name, count in ((_FIRST, first), (_SECOND, second))
    )
    return BytesProgress(
        task="pulling",
        description="Pulling Image: x",
        id="sha256:0",
        bytes_cached=0,
        bytes=first + second << 20,
        bytes_total=200 << 20,
        steps_cached=0,
        steps=int(first == 100) + int(second == 100),
        steps_total=2,
        subtasks=layers,
    )


def test_the_terminal_shows_total_layers_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: seconds[0])
    console = Console(
        file=io.StringIO(),
        force_terminal=True,
        width=80,
        color_system=None,
        get_time=lambda: seconds[0],
    )
    screens: list[list[str]] = []
    with progress_terminal.opened(console) as sink:
        for event in (_of_two(1, 0), _of_two(50, 10), _of_two(100, 20)):
            seconds[0] += 10
            console.file = io.StringIO()
            sink.transferred(event)
            screens.append(_lines(drawn(console)))
    assert screens[0][0] == "Pulling Image: x"
    assert screens[0][-2:] == [
        "0 of 2 layers 1.0/200.0 MiB --:-- left",
        "layer 111111111111 1.0/100.0 MiB --:-- left",
    ]
    assert screens[1][-3:] == [
        "0 of 2 layers 60.0/200.0 MiB 5.9 MiB/s 00:24 left",
        "layer 111111111111 50.0/100.0 MiB 4.9 MiB/s 00:11 left",
        "layer 222222222222 10.0/100.0 MiB --:-- left",
    ]
    assert screens[2][-2:] == [
        "1 of 2 layers 120.0/200.0 MiB 5.9 MiB/s 00:14 left",
        "layer 222222222222 20.0/100.0 MiB 1 MiB/s 01:20 left",
    ]


def _lines(text: str) -> list[str]:
    """Return what was drawn without the bars and the moves of the cursor."""
    lines = (line.split() for line in re.split(r"\x1b\[[0-9;?]*[A-Za-z]|\n|\r", text))
    words = ([word for word in line if set(word) - set("━╸╺")] for line in lines)
    return [" ".join(line) for line in words if line]


def test_the_terminal_marks_a_failed_step() -> None:
    console = terminal()

    def fail() -> None:
        with progress_terminal.opened(console) as sink, sink.step("Importing the image"):
            raise BootcpyError("no")

    with pytest.raises(BootcpyError, match="no"):
        fail()
    assert "✗ Importing the image" in drawn(console)


def test_the_terminal_draws_foreign_text_as_text() -> None:
    console = terminal()
    with progress_terminal.opened(console) as sink:
        sink.note("\x9b2J\x1b]0;title\x07")
        event = _of_two(50, 0)
        layers = (replace(event.subtasks[0], subtask="[bold]\x9b", id="x" * 20), event.subtasks[1])
        sink.transferred(replace(event, subtasks=layers))
    text = drawn(console)
    assert "\\x9b2J\\x1b]0;title\\x07" in text
    assert "[bold]\\x9b" in text
    assert "\x9b" not in text
