import io
import threading

import pytest
from rich.console import Console

from bootcpy.cli import progress_terminal
from bootcpy.errors import BootcpyError
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
    assert "layer 1/2" in text
    assert "\x1b[?25h" in text  # the cursor is back


def test_the_terminal_marks_a_failed_step() -> None:
    console = terminal()

    def fail() -> None:
        with progress_terminal.opened(console) as sink, sink.step("Importing the image"):
            raise BootcpyError("no")

    with pytest.raises(BootcpyError, match="no"):
        fail()
    assert "✗ Importing the image" in drawn(console)
