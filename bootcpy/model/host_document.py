"""The host document as text: canonical JSON, YAML, and an edited spec read back.

YAML is written here, because the document uses a corner of it; what an administrator
edited may use all of it and is read by PyYAML, which is imported only then.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any

from bootcpy.errors import ConfigurationError, ReferenceFormatError
from bootcpy.model.host import OMITTED_WHEN_EMPTY, BootOrder, Host, HostSpec
from bootcpy.model.image import (
    ContainerPolicy,
    ImageReference,
    Insecure,
    OstreeRemote,
    Signature,
    SignedImageReference,
    Transport,
)

Tree = dict[str, Any]

# Words and numbers that a YAML reader would take for something else than a string.
_NOT_A_STRING = re.compile(
    r"~|null|true|false|yes|no|on|off|y|n|\.nan|[-+]?\.inf"
    r"|[-+]?[0-9._][0-9_.,:]*(?:e[-+]?[0-9]+)?|0x[0-9a-f_]+|0o[0-7_]+|0b[01_]+",
    re.IGNORECASE,
)
_PLAIN = re.compile(r"[A-Za-z0-9_./(][^\x00-\x1f\x7f-\x9f\ufeff]*")


def camel_case(name: str) -> str:
    """Return a field's name as the document spells it."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


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
        _PLAIN.fullmatch(text)
        and not _NOT_A_STRING.fullmatch(text)
        and not any(mark in text for mark in (": ", " #"))
        and not text.endswith((" ", ":"))
    )
    if plain:
        return text
    # JSON strings are YAML's double-quoted ones; single quotes read better.
    return "'" + text.replace("'", "''") + "'" if text.isprintable() else json.dumps(text)


def parse_edited_spec(text: str, *, name: str) -> HostSpec:
    """Read the spec out of a document an administrator edited; `name` is the file.

    Only `spec` counts: the status is ignored, as in bootc, and so are keys that are unknown.

    Raises:
        ConfigurationError: the text is not YAML, or the spec has a value of the wrong form.
    """
    import yaml  # noqa: PLC0415 - only `edit` reads YAML

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as e:
        where = getattr(e, "problem_mark", None)
        line = f":{where.line + 1}" if where else ""
        problem = getattr(e, "problem", None) or "not YAML"
        raise ConfigurationError(f"{name}{line}: {problem}", hint="correct the file") from e
    root = _mapping(document, name, "the document")
    for key in ("apiVersion", "kind"):
        if key not in root:
            raise ConfigurationError(f"{name}: missing key {key}")
    spec = _mapping(root.get("spec") or {}, name, "spec")
    order = spec.get("bootOrder") or BootOrder.DEFAULT.value
    if order not in list(BootOrder):
        raise ConfigurationError(
            f"{name}: spec.bootOrder: {order!r} is unknown", hint="use default or rollback"
        )
    image = spec.get("image")
    return HostSpec(
        image=None if image is None else _parse_image(_mapping(image, name, "spec.image"), name),
        boot_order=BootOrder(order),
    )


def _mapping(value: Any, name: str, what: str) -> Mapping[str, Any]:  # noqa: ANN401 - from YAML
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{name}: {what} is not a mapping")
    return value


def _parse_image(raw: Mapping[str, Any], name: str) -> SignedImageReference:
    for key in ("image", "transport"):
        if not isinstance(raw.get(key), str) or not raw[key]:
            raise ConfigurationError(f"{name}: spec.image.{key}: a non-empty string is needed")
    try:
        transport = Transport.parse(raw["transport"])
    except ReferenceFormatError as e:
        raise ConfigurationError(f"{name}: spec.image.transport: {e.message}", hint=e.hint) from e
    return SignedImageReference(
        ImageReference(transport, raw["image"]), _parse_signature(raw.get("signature"), name)
    )


def _parse_signature(raw: Any, name: str) -> Signature:  # noqa: ANN401 - from YAML
    match raw:
        case None | "insecure":
            return Insecure()
        case "containerPolicy":
            return ContainerPolicy()
        case {"ostreeRemote": str(remote)}:
            return OstreeRemote(remote)
        case _:
            raise ConfigurationError(
                f"{name}: spec.image.signature: {raw!r} is unknown",
                hint="use insecure, containerPolicy or a mapping with ostreeRemote",
            )
