"""The host document as text: canonical JSON and YAML.

YAML is written here, because the document uses a corner of it only.
"""

import json
import re
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any

from bootcpy.model.base.camel_case import camel_case
from bootcpy.model.base.printable import yaml_quoted
from bootcpy.model.host.document import OMITTED_WHEN_EMPTY, Host
from bootcpy.model.image.reference import (
    ContainerPolicy,
    Insecure,
    OstreeRemote,
    SignedImageReference,
)

Tree = dict[str, Any]

# Words and numbers that a YAML reader would take for something else than a string.
_NOT_A_STRING = re.compile(
    r"~|null|true|false|yes|no|on|off|y|n|\.nan|[-+]?\.inf"
    r"|[-+]?[0-9._][0-9_.,:]*(?:e[-+]?[0-9]+)?|0x[0-9a-f_]+|0o[0-7_]+|0b[01_]+",
    re.IGNORECASE,
)
_PLAIN = re.compile(r"[A-Za-z0-9_./(].*")


def host_tree(host: Host) -> Tree:
    """Return the document as nested dicts and lists, keys in the order of the types."""
    tree: Tree = _plain(host)
    return tree


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value a field can have
    match value:
        case SignedImageReference():
            return _image_tree(value)
        case StrEnum():
            return value.value
        case tuple():
            return [_plain(item) for item in value]
        case _ if is_dataclass(value):
            values = {f.name: getattr(value, f.name) for f in fields(value)}
            return {
                camel_case(name): _plain(item)
                for name, item in values.items()
                if item or name not in OMITTED_WHEN_EMPTY
            }
        case _:
            return value


def _image_tree(image: SignedImageReference) -> Tree:
    tree: Tree = {"image": image.image.name, "transport": image.image.transport.value}
    match image.signature:
        case ContainerPolicy():
            tree["signature"] = "containerPolicy"
        case OstreeRemote(name):
            tree["signature"] = {"ostreeRemote": name}
        case Insecure():
            pass  # the default is not written
    return tree


def to_json(host: Host) -> str:
    """Return canonical JSON: sorted keys, no white space, no newline at the end."""
    return json.dumps(host_tree(host), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def to_yaml(host: Host) -> str:
    """Return YAML with keys in the order of the types."""
    return "".join(f"{line}\n" for line in _yaml_lines(host_tree(host)))


def _yaml_lines(tree: Tree) -> list[str]:
    lines: list[str] = []
    for key, value in tree.items():
        match value:
            case dict():
                lines += [f"{key}:", *(f"  {line}" for line in _yaml_lines(value))]
            case list():
                lines.append(f"{key}:")
                for item in value:
                    first, *rest = _yaml_lines(item)
                    lines += [f"- {first}", *(f"  {line}" for line in rest)]
            case _:
                lines.append(f"{key}: {_yaml_scalar(value)}")
    return lines


def _yaml_scalar(value: Any) -> str:  # noqa: ANN401 - any value without members
    if value is None or isinstance(value, int):  # a bool is an int
        return json.dumps(value)
    text = str(value)
    plain = (
        text.isprintable()
        and _PLAIN.fullmatch(text)
        and not _NOT_A_STRING.fullmatch(text)
        and not any(mark in text for mark in (": ", " #"))
        and not text.endswith((" ", ":"))
    )
    if plain:
        return text
    # Single quotes read better, but know no escapes.
    return "'" + text.replace("'", "''") + "'" if text.isprintable() else yaml_quoted(text)
