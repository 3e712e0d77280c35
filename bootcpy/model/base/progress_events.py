"""bootc's progress-v0: what its events are called, and the document that each becomes.

Whoever works says only what happened; task names, descriptions and ids are made here, and
nowhere else. They are those of bootc's `progress_jsonl.rs` and `deploy.rs`, which programs
that read `--progress-fd` go by.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from enum import StrEnum

from bootcpy.model.base.camel_case import camel_case
from bootcpy.model.base.progress import BytesProgress, LayerBytes, StepItem, StepsProgress

EVENT_TYPES: dict[str, type[BytesProgress | StepsProgress]] = {
    "ProgressBytes": BytesProgress,
    "ProgressSteps": StepsProgress,
}
_PROTOCOL_VERSION = "0.1.0"
_SHORT_DIGEST = 21  # `sha256:` and enough to tell a layer by
_COUNTED_STAGING_STEPS = 3


class StagingStep(StrEnum):
    """The steps of staging, in their order."""

    MERGING = "merging"
    DEPLOYING = "deploying"
    BOUND_IMAGES = "bound_images"
    CLEANUP = "cleanup"


_STAGING = {
    StagingStep.MERGING: "Merging Image",
    StagingStep.DEPLOYING: "Deploying Image",
    StagingStep.BOUND_IMAGES: "Pulling Bound Images",
    StagingStep.CLEANUP: "Removing old images",
}


def layer_bytes(digest: str, *, derived: bool, done_bytes: int, total_bytes: int) -> LayerBytes:
    """Return how far a layer is: a derived one, or part of an embedded commit."""
    return LayerBytes(
        subtask="layer" if derived else "ostree chunk",
        description=digest[:_SHORT_DIGEST],
        id=digest,
        bytes_cached=0,
        bytes=done_bytes,
        bytes_total=total_bytes,
    )


def pulling_event(
    name: str,
    digest: str,
    layers: Sequence[LayerBytes],
    *,
    finished: int,
    present: int,
    present_bytes: int,
) -> BytesProgress:
    """Return how far the image `name` with the manifest `digest` is.

    Of its `layers` that are fetched, `finished` are whole; `present` others were here before.
    """
    return BytesProgress(
        task="pulling",
        description=f"Pulling Image: {name}",
        id=digest,
        bytes_cached=present_bytes,
        bytes=sum(layer.bytes for layer in layers),
        bytes_total=sum(layer.bytes_total for layer in layers),
        steps_cached=present,
        steps=finished,
        steps_total=len(layers),
        subtasks=tuple(layers),
    )


def importing_event(digest: str, *, done: bool) -> StepsProgress:
    """Return whether the layers of the manifest `digest` are merged: one step, before staging."""
    name, description = "importing", "Importing Image"
    return StepsProgress(
        task=name,
        description=description,
        id=digest,
        steps_cached=0,
        steps=int(done),
        steps_total=1,
        subtasks=(StepItem(subtask=name, description=description, id=name, completed=done),),
    )


def staging_event(digest: str, *, done: StagingStep | None) -> StepsProgress:
    """Return how far staging the manifest `digest` is: up to and with the step `done`.

    Three steps are counted, four are named, and the last event names the last one twice.
    """
    steps = list(StagingStep)
    count = 0 if done is None else steps.index(done) + 1
    items = [
        StepItem(
            subtask=step.value, description=_STAGING[step], id=step.value, completed=index < count
        )
        for index, step in enumerate(steps[: count + 1])
    ]
    if count == len(steps):
        items.append(items[-1])
    return StepsProgress(
        task="staging",
        description="Deploying Image",
        id=digest,
        steps_cached=0,
        steps=min(count, _COUNTED_STAGING_STEPS),
        steps_total=_COUNTED_STAGING_STEPS,
        subtasks=tuple(items),
    )


def start_document() -> dict[str, object]:
    """Return the document that comes before those of events."""
    return {"type": "Start", "version": _PROTOCOL_VERSION}


def event_document(event: BytesProgress | StepsProgress) -> dict[str, object]:
    """Return an event as the document of its line; the ids of layers are short there."""
    if isinstance(event, BytesProgress):
        layers = (replace(layer, id=layer.id[:_SHORT_DIGEST]) for layer in event.subtasks)
        event = replace(event, subtasks=tuple(layers))
    name = next(name for name, kind in EVENT_TYPES.items() if isinstance(event, kind))
    return {"type": name, **{camel_case(key): _spelt(each) for key, each in asdict(event).items()}}


def _spelt(value: object) -> object:
    match value:
        case dict():
            return {camel_case(key): _spelt(each) for key, each in value.items()}
        case list() | tuple():
            return [_spelt(each) for each in value]
        case _:
            return value
