"""Progress as an interface: what long work reports, and to whom.

The events have the shape of bootc's `--progress-fd` protocol (progress-v0); the
sinks (a terminal, plain lines, JSON lines) live in `bootcpy.cli.progress`.
"""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBytes:
    """How much of one layer has been read; a subtask of `BytesProgress`."""

    subtask: str  # "layer" or "ostree chunk"
    description: str
    id: str  # the layer's digest
    bytes_cached: int
    bytes: int
    bytes_total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BytesProgress:
    """How much of a transfer is done; counts are of bytes and of steps (layers)."""

    task: str
    description: str
    id: str  # the manifest digest
    bytes_cached: int
    bytes: int
    bytes_total: int
    steps_cached: int
    steps: int
    steps_total: int
    subtasks: tuple[LayerBytes, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether this is the last of its transfer, which no sink may drop."""
        return self.bytes >= self.bytes_total and self.steps >= self.steps_total


@dataclass(frozen=True, slots=True, kw_only=True)
class StepItem:
    """One named part of a `StepsProgress`, finished or not."""

    subtask: str
    description: str
    id: str
    completed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsProgress:
    """How many of the known steps of a task are done."""

    task: str
    description: str
    id: str
    steps_cached: int
    steps: int
    steps_total: int
    subtasks: tuple[StepItem, ...] = ()


class Progress(Protocol):
    """Where long work reports to. Implementations never raise and never slow the work."""

    def step(self, text: str) -> AbstractContextManager[None]:
        """Say that the step `text` runs until the context ends."""

    def note(self, text: str) -> None:
        """Tell one line of the story."""

    def transferred(self, event: BytesProgress) -> None:
        """Report how far a transfer is; called often."""

    def stepped(self, event: StepsProgress) -> None:
        """Report how far a task of several steps is."""


class Silent:
    """A sink that drops everything."""

    @contextmanager
    def step(self, text: str) -> Generator[None]:  # noqa: ARG002 - the protocol's signature
        """Run the step and say nothing."""
        yield

    def note(self, text: str) -> None:
        """Say nothing."""

    def transferred(self, event: BytesProgress) -> None:
        """Say nothing."""

    def stepped(self, event: StepsProgress) -> None:
        """Say nothing."""
