"""The JSON Schema of the host document, generated from its types.

`docs/host-v1.schema.json` is this module's output; a test compares the two.
"""

import json
import types
from dataclasses import fields
from enum import StrEnum
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from bootcpy.model.base.camel_case import camel_case
from bootcpy.model.host.document import OMITTED_WHEN_EMPTY, Host
from bootcpy.model.host.document_text import Tree
from bootcpy.model.image.reference import SignedImageReference, Transport

_IMAGE_SCHEMA: Tree = {
    "type": "object",
    "description": "An image by transport and name, with the signature it needs.",
    "properties": {
        "image": {"type": "string", "description": "The name, without its transport"},
        "transport": {"enum": [transport.value for transport in Transport]},
        "signature": {
            "description": "The signature it needs; absent means none",
            "anyOf": [
                {"enum": ["containerPolicy", "insecure"]},
                {
                    "type": "object",
                    "properties": {"ostreeRemote": {"type": "string"}},
                    "required": ["ostreeRemote"],
                    "additionalProperties": False,
                },
            ],
        },
    },
    "required": ["image", "transport"],
    "additionalProperties": False,
}


def schema() -> Tree:
    """Return the JSON Schema of the document, made from its types."""
    definitions: Tree = {"ImageReference": _IMAGE_SCHEMA}
    root = _object_schema(Host, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Host",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def schema_text() -> str:
    """Return the schema as it is kept in `docs/host-v1.schema.json`."""
    return json.dumps(schema(), indent=2) + "\n"


def _object_schema(cls: type, definitions: Tree) -> Tree:
    hints = get_type_hints(cls, include_extras=True)
    names = [f.name for f in fields(cls)]
    properties: Tree = {}
    for name in names:
        hint, *notes = get_args(hints[name])
        properties[camel_case(name)] = {"description": notes[0], **_schema(hint, definitions)}
    return {
        "type": "object",
        "description": (cls.__doc__ or "").splitlines()[0],
        "properties": properties,
        "required": [camel_case(name) for name in names if name not in OMITTED_WHEN_EMPTY],
        "additionalProperties": False,
    }


_SCALARS = {str: "string", int: "integer", bool: "boolean", types.NoneType: "null"}


def _schema(hint: Any, definitions: Tree) -> Tree:  # noqa: ANN401 - any annotation of a field
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if hint in _SCALARS:
        return {"type": _SCALARS[hint]}
    if get_origin(hint) in {Union, types.UnionType}:
        return {"anyOf": [_schema(arm, definitions) for arm in get_args(hint)]}
    if get_origin(hint) is tuple:
        return {"type": "array", "items": _schema(get_args(hint)[0], definitions)}
    if hint is SignedImageReference:
        return {"$ref": "#/$defs/ImageReference"}
    name: str = hint.__name__
    if name not in definitions:
        definitions[name] = {}  # a place holder, should a type ever hold itself
        definitions[name] = (
            {"enum": [item.value for item in hint], "description": (hint.__doc__ or "").strip()}
            if issubclass(hint, StrEnum)
            else _object_schema(hint, definitions)
        )
    return {"$ref": f"#/$defs/{name}"}
