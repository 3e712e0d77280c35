"""The JSON Schema of the lines that `--progress-fd` writes: bootc's progress-v0."""

import json
from dataclasses import MISSING, fields
from typing import Any, get_args, get_origin, get_type_hints

from bootcpy.model.base.camel_case import camel_case
from bootcpy.model.base.progress_events import EVENT_TYPES
from bootcpy.model.host.document_text import Tree

_SCALARS = {str: "string", int: "integer", bool: "boolean"}


def schema() -> Tree:
    """Return the schema of one line."""
    start: Tree = {
        "type": "object",
        "description": "The first line.",
        "properties": {"type": {"const": "Start"}, "version": {"type": "string"}},
        "required": ["type", "version"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Event",
        "oneOf": [start, *(_event(name, cls) for name, cls in EVENT_TYPES.items())],
    }


def schema_text() -> str:
    """Return the schema as JSON."""
    return json.dumps(schema(), indent=2) + "\n"


def _event(name: str, cls: type) -> Tree:
    tree = _object(cls)
    tree["properties"] = {"type": {"const": name}, **tree["properties"]}
    tree["required"] = ["type", *tree["required"]]
    return tree


def _object(cls: type) -> Tree:
    hints = get_type_hints(cls)
    return {
        "type": "object",
        "description": (cls.__doc__ or "").splitlines()[0],
        "properties": {camel_case(f.name): _value(hints[f.name]) for f in fields(cls)},
        "required": [camel_case(f.name) for f in fields(cls) if f.default is MISSING],
    }


def _value(hint: Any) -> Tree:  # noqa: ANN401 - any annotation of a field
    if get_origin(hint) is tuple:
        return {"type": "array", "items": _object(get_args(hint)[0])}
    return {"type": _SCALARS[hint]}
