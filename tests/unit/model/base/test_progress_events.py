from dataclasses import asdict

import pytest

from bootcpy.model.base.progress_events import (
    StagingStep,
    event_document,
    importing_event,
    layer_bytes,
    pulling_event,
    staging_event,
    start_document,
)

DIGEST = "sha256:" + "d" * 64
LAYER = "sha256:" + "1" * 64
CHUNK = "sha256:" + "2" * 64

_STEPS = (
    ("merging", "Merging Image"),
    ("deploying", "Deploying Image"),
    ("bound_images", "Pulling Bound Images"),
    ("cleanup", "Removing old images"),
)


def test_the_first_document_names_the_version() -> None:
    assert start_document() == {"type": "Start", "version": "0.1.0"}


def test_a_pull_counts_bytes_and_layers() -> None:
    layers = [
        layer_bytes(CHUNK, derived=False, done_bytes=10, total_bytes=10),
        layer_bytes(LAYER, derived=True, done_bytes=7, total_bytes=20),
    ]
    event = pulling_event("quay.io/x/y", DIGEST, layers, finished=1, present=3, present_bytes=99)
    assert list(event_document(event).items()) == [
        ("type", "ProgressBytes"),
        ("task", "pulling"),
        ("description", "Pulling Image: quay.io/x/y"),
        ("id", DIGEST),
        ("bytesCached", 99),
        ("bytes", 17),
        ("bytesTotal", 30),
        ("stepsCached", 3),
        ("steps", 1),
        ("stepsTotal", 2),
        (
            "subtasks",
            [
                {
                    "subtask": "ostree chunk",
                    "description": CHUNK[:21],
                    "id": CHUNK[:21],
                    "bytesCached": 0,
                    "bytes": 10,
                    "bytesTotal": 10,
                },
                {
                    "subtask": "layer",
                    "description": LAYER[:21],
                    "id": LAYER[:21],
                    "bytesCached": 0,
                    "bytes": 7,
                    "bytesTotal": 20,
                },
            ],
        ),
    ]
    assert event.subtasks[0].id == CHUNK  # whole, for what draws a bar for each


@pytest.mark.parametrize("done", [False, True])
def test_an_import_is_one_step(*, done: bool) -> None:
    assert event_document(importing_event(DIGEST, done=done)) == {
        "type": "ProgressSteps",
        "task": "importing",
        "description": "Importing Image",
        "id": DIGEST,
        "stepsCached": 0,
        "steps": int(done),
        "stepsTotal": 1,
        "subtasks": [
            {
                "subtask": "importing",
                "description": "Importing Image",
                "id": "importing",
                "completed": done,
            }
        ],
    }


@pytest.mark.parametrize(
    ("done", "steps", "named"),
    [
        (None, 0, [False]),
        (StagingStep.MERGING, 1, [True, False]),
        (StagingStep.DEPLOYING, 2, [True, True, False]),
        (StagingStep.BOUND_IMAGES, 3, [True, True, True, False]),
    ],
)
def test_staging_names_the_steps_so_far_and_the_next(
    done: StagingStep | None, steps: int, named: list[bool]
) -> None:
    assert asdict(staging_event(DIGEST, done=done)) == {
        "task": "staging",
        "description": "Deploying Image",
        "id": DIGEST,
        "steps_cached": 0,
        "steps": steps,
        "steps_total": 3,
        "subtasks": tuple(
            {"subtask": name, "description": text, "id": name, "completed": completed}
            for (name, text), completed in zip(_STEPS, named, strict=False)
        ),
    }


def test_the_last_event_of_staging_names_its_last_step_twice_as_bootc_does() -> None:
    event = staging_event(DIGEST, done=StagingStep.CLEANUP)
    assert (event.steps, event.steps_total) == (3, 3)
    assert [(item.id, item.completed) for item in event.subtasks] == [
        *((name, True) for name, _ in _STEPS),
        ("cleanup", True),
    ]
