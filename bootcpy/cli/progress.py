"""Where progress goes: plain lines or a live display on stderr, JSON lines on a descriptor."""

import json
import os
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TextIO

from bootcpy.cli.output import print_line
from bootcpy.errors import BootcpyError, UsageError
from bootcpy.model.base.printable import escaped_json
from bootcpy.model.base.progress import BytesProgress, Progress, Silent, StepsProgress
from bootcpy.model.base.progress_events import event_document, start_document
from bootcpy.model.base.size import format_size

_JSON_INTERVAL_S = 0.2  # as bootc: events that may be lost come five times a second at most
_LINES_INTERVAL_S = 5.0
_WORTH_A_DURATION_S = 1.0

Clock = Callable[[], float]


@contextmanager
def opened(*, quiet: bool = False, progress_fd: int | None = None) -> Generator[Progress]:
    """Return the sink that the user's terminal and options ask for, until the context ends.

    `quiet` silences stderr but not `progress_fd`.

    Raises:
        UsageError: `progress_fd` is one of the standard streams.
        BootcpyError: `progress_fd` is not an open descriptor.
    """
    sinks: list[Progress] = []
    if progress_fd is not None:
        sinks.append(JsonLines(_checked(progress_fd)))
    with ExitStack() as stack:
        if quiet:
            sinks.append(Silent())
        elif sys.stderr.isatty():
            from bootcpy.cli import progress_terminal

            sinks.append(stack.enter_context(progress_terminal.opened()))
        else:
            sinks.append(Lines(sys.stderr))
        yield sinks[0] if len(sinks) == 1 else Several(sinks)


def _checked(descriptor: int) -> int:
    if descriptor in {0, 1, 2}:
        raise UsageError(
            f"Cannot use fd {descriptor} for progress JSON",
            hint="0, 1 and 2 are the standard streams; use 3, as in `3>progress.jsonl`",
        )
    try:
        os.fstat(descriptor)
    except OSError as e:
        raise BootcpyError(
            f"fd {descriptor} for progress JSON is not open: {e.strerror}",
            hint="open it in the shell, as in `3>progress.jsonl`",
        ) from e
    return descriptor


class Lines:
    """Progress as lines of plain text, for logs and pipes."""

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._next = clock() + _LINES_INTERVAL_S
        self._reported: BytesProgress | None = None

    @contextmanager
    def step(self, text: str) -> Generator[None]:
        """Print the step when it starts; when it took a while, also that it ended."""
        self.note(text)
        started = self._clock()
        yield
        took = self._clock() - started
        if took >= _WORTH_A_DURATION_S:
            self.note(f"{text}: done in {took:.1f} s")

    def note(self, text: str) -> None:
        """Print one line."""
        try:
            print_line(text, file=self._stream)
        except OSError:
            return  # nobody reads; the work goes on

    def transferred(self, event: BytesProgress) -> None:
        """Print a line every few seconds, and one at the end."""
        if event == self._reported:
            return
        now = self._clock()
        if now < self._next and not event.is_complete:
            return
        self._next = now + _LINES_INTERVAL_S
        self._reported = event
        percent = 100 * event.bytes // max(event.bytes_total, 1)
        self.note(
            f"{event.description}: {format_size(event.bytes)} of"
            f" {format_size(event.bytes_total)} ({percent} %),"
            f" {event.steps} of {event.steps_total} layers"
        )

    def stepped(self, event: StepsProgress) -> None:
        """Print nothing: the steps of a task are told by `step` and `note`."""


class JsonLines:
    """Progress for programs: bootc's progress-v0 events, one JSON document per line."""

    def __init__(self, descriptor: int, clock: Clock = time.monotonic) -> None:
        self._descriptor: int | None = descriptor
        self._clock = clock
        self._next = clock()
        self._write(start_document())

    @contextmanager
    def step(self, text: str) -> Generator[None]:  # noqa: ARG002 - the protocol has no such event
        """Run the step and write nothing."""
        yield

    def note(self, text: str) -> None:
        """Write nothing: the protocol has no such event."""

    def transferred(self, event: BytesProgress) -> None:
        """Write a ProgressBytes event, unless one was written just now."""
        now = self._clock()
        if now < self._next and not event.is_complete:
            return
        self._next = now + _JSON_INTERVAL_S
        self._write(event_document(event))

    def stepped(self, event: StepsProgress) -> None:
        """Write a ProgressSteps event; these are few and none is dropped."""
        self._write(event_document(event))

    def _write(self, document: dict[str, object]) -> None:
        if self._descriptor is None:
            return
        line = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
        left = f"{escaped_json(line)}\n".encode()
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            self._descriptor = None  # the reader went away; the work goes on without it


class Several:
    """Progress to more than one sink."""

    def __init__(self, sinks: Sequence[Progress]) -> None:
        self._sinks = tuple(sinks)

    @contextmanager
    def step(self, text: str) -> Generator[None]:
        """Tell every sink of the step."""
        with ExitStack() as stack:
            for sink in self._sinks:
                stack.enter_context(sink.step(text))
            yield

    def note(self, text: str) -> None:
        """Tell every sink."""
        for sink in self._sinks:
            sink.note(text)

    def transferred(self, event: BytesProgress) -> None:
        """Tell every sink."""
        for sink in self._sinks:
            sink.transferred(event)

    def stepped(self, event: StepsProgress) -> None:
        """Tell every sink."""
        for sink in self._sinks:
            sink.stepped(event)
