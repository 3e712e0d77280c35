import io
import json
import os
from collections.abc import Generator
from dataclasses import replace

import pytest

from bootcpy.cli import progress
from bootcpy.errors import BootcpyError, UsageError
from bootcpy.model.base.progress import BytesProgress, LayerBytes, Silent, StepItem, StepsProgress
from tests.refusals import refused

DIGEST = "sha256:" + "a" * 64


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def transfer(done: int, *, steps: int = 0) -> BytesProgress:
    return BytesProgress(
        task="pulling",
        description="Importing",
        id=DIGEST,
        bytes_cached=0,
        bytes=done,
        bytes_total=4096,
        steps_cached=0,
        steps=steps,
        steps_total=2,
        subtasks=(
            LayerBytes(
                subtask="layer",
                description="layer",
                id=DIGEST,
                bytes_cached=0,
                bytes=done,
                bytes_total=4096,
            ),
        ),
    )


STAGING = StepsProgress(
    task="staging",
    description="Staging",
    id="staging",
    steps_cached=0,
    steps=1,
    steps_total=3,
    subtasks=(StepItem(subtask="merging", description="Merging", id="fetching", completed=True),),
)


@pytest.fixture
def pipe() -> Generator[tuple[int, int]]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    yield read, write
    os.close(read)
    os.close(write)


def events(read: int) -> list[dict[str, object]]:
    return [json.loads(line) for line in os.read(read, 1 << 16).splitlines()]


def test_json_lines_speak_progress_v0(pipe: tuple[int, int]) -> None:
    sink = progress.JsonLines(pipe[1])
    sink.transferred(transfer(1024))
    sink.stepped(STAGING)
    counts = {"bytesCached": 0, "bytes": 1024, "bytesTotal": 4096}
    assert events(pipe[0]) == [
        {"type": "Start", "version": "0.1.0"},
        {
            "type": "ProgressBytes",
            "task": "pulling",
            "description": "Importing",
            "id": DIGEST,
            **counts,
            "stepsCached": 0,
            "steps": 0,
            "stepsTotal": 2,
            "subtasks": [{"subtask": "layer", "description": "layer", "id": DIGEST[:21], **counts}],
        },
        {
            "type": "ProgressSteps",
            "task": "staging",
            "description": "Staging",
            "id": "staging",
            "stepsCached": 0,
            "steps": 1,
            "stepsTotal": 3,
            "subtasks": [
                {
                    "subtask": "merging",
                    "description": "Merging",
                    "id": "fetching",
                    "completed": True,
                }
            ],
        },
    ]


def test_json_lines_drop_bytes_above_five_hertz_but_never_the_last(pipe: tuple[int, int]) -> None:
    clock = Clock()
    sink = progress.JsonLines(pipe[1], clock)
    for tick in range(10):
        clock.now = tick * 0.05
        sink.transferred(transfer(tick))
    sink.transferred(transfer(4096, steps=2))
    assert [event["bytes"] for event in events(pipe[0])[1:]] == [0, 4, 8, 4096]


def test_json_lines_go_quiet_when_the_reader_went_away() -> None:
    read, write = os.pipe()
    sink = progress.JsonLines(write)
    os.close(read)
    sink.stepped(STAGING)  # which finds that out
    read, elsewhere = os.pipe()
    os.dup2(elsewhere, write)  # the number is somebody else's now
    os.close(elsewhere)
    sink.stepped(STAGING)
    os.close(write)
    assert os.read(read, 1) == b""
    os.close(read)


def test_lines_are_few() -> None:
    clock, stream = Clock(), io.StringIO()
    sink = progress.Lines(stream, clock)
    with sink.step("Making the file system"):
        clock.now += 0.5
    with sink.step("Importing the image"):
        for tick in range(12):
            clock.now = float(tick)
            sink.transferred(transfer(tick * 256))
        sink.transferred(transfer(4096, steps=2))
        sink.transferred(transfer(4096, steps=2))
    sink.stepped(STAGING)
    assert stream.getvalue().splitlines() == [
        "Making the file system",
        "Importing the image",
        "Importing: 1.2 KiB of 4 KiB (31 %), 0 of 2 layers",
        "Importing: 2.5 KiB of 4 KiB (62 %), 0 of 2 layers",
        "Importing: 4 KiB of 4 KiB (100 %), 2 of 2 layers",
        "Importing the image: done in 10.5 s",
    ]


def test_a_failing_step_passes_its_error_on_and_is_not_done() -> None:
    clock, stream = Clock(), io.StringIO()
    sink = progress.Lines(stream, clock)

    def fail() -> None:
        with sink.step("Importing the image"):
            clock.now += 9
            raise BootcpyError("no")

    with pytest.raises(BootcpyError, match="no"):
        fail()
    assert stream.getvalue() == "Importing the image\n"


@pytest.mark.parametrize("descriptor", [0, 1, 2])
def test_opened_refuses_the_standard_streams(descriptor: int) -> None:
    with (
        refused(
            UsageError,
            f"^Cannot use fd {descriptor} for progress JSON$",
            hint="0, 1 and 2 are the standard streams; use 3, as in `3>progress.jsonl`",
        ),
        progress.opened(progress_fd=descriptor),
    ):
        pass


def test_opened_refuses_a_closed_descriptor() -> None:
    with (
        refused(
            BootcpyError,
            r"^fd 999 for progress JSON is not open: Bad file",
            hint="open it in the shell, as in `3>progress.jsonl`",
        ),
        progress.opened(progress_fd=999),
    ):
        pass


def test_opened_tells_both_the_reader_and_stderr(
    pipe: tuple[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.opened(progress_fd=pipe[1]) as sink:
        with sink.step("Working"):
            sink.note("half")
        sink.transferred(transfer(4096, steps=2))
        sink.stepped(STAGING)
    assert [event["type"] for event in events(pipe[0])] == [
        "Start",
        "ProgressBytes",
        "ProgressSteps",
    ]
    assert capsys.readouterr().err.splitlines() == [
        "Working",
        "half",
        "Importing: 4 KiB of 4 KiB (100 %), 2 of 2 layers",
    ]


def test_opened_quiet_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.opened(quiet=True) as sink:
        assert isinstance(sink, Silent)
        with sink.step("Working"):
            sink.transferred(transfer(4096, steps=2))
    assert capsys.readouterr() == ("", "")


def test_lines_and_json_are_printable(pipe: tuple[int, int]) -> None:
    stream = io.StringIO()
    progress.Lines(stream).note("layer \x1b[2J\nerror: forged")
    assert stream.getvalue() == "layer \\x1b[2J\\nerror: forged\n"
    progress.JsonLines(pipe[1]).transferred(replace(transfer(0), description="\x7f\x9b\u202e"))
    written = os.read(pipe[0], 1 << 16)
    assert b'"description":"\\u007f\\u009b\\u202e"' in written
