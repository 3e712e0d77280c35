"""The spec of a host document that an administrator edited, read back.

It may use all of YAML, so PyYAML reads it, which is imported only then.
"""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bootcpy.errors import ConfigurationError, ReferenceFormatError
from bootcpy.model.host.document import BootOrder, HostSpec
from bootcpy.model.image.reference import (
    ContainerPolicy,
    ImageReference,
    Insecure,
    OstreeRemote,
    Signature,
    SignedImageReference,
    Transport,
    require_one_line,
)

_HINT = "start from the output of `bootc status --format yaml`"
_SPEC_KEYS = ("image", "bootOrder")
_IMAGE_KEYS = ("image", "transport", "signature")
_DEEPEST = 3  # spec.image.transport


def parse_edited_spec(text: str, *, name: str) -> HostSpec:
    """Read the spec out of a document an administrator edited; `name` is the file.

    Only `spec` counts: the status is ignored, as in bootc. Unlike there a key of the spec
    that is unknown is refused, as it is most likely a known one misspelt.

    Raises:
        ConfigurationError: the text is not YAML, or the spec has a value of the wrong form;
            with the line, and the key.
    """
    document, lines = _read(text, name)
    found = _Document(name, lines)
    root = found.mapping(document, "")
    for key in ("apiVersion", "kind"):
        if key not in root:
            raise ConfigurationError(f"{name}: the key {key} is missing", hint=_HINT)
    spec = found.mapping(root.get("spec") or {}, "spec", _SPEC_KEYS)
    order = spec.get("bootOrder") or BootOrder.DEFAULT.value
    if order not in list(BootOrder):
        raise found.error(
            "spec.bootOrder", f"{reprlib.repr(order)} is unknown", "use default or rollback"
        )
    image = spec.get("image")
    return HostSpec(
        image=None
        if image is None
        else _parse_image(found, found.mapping(image, "spec.image", _IMAGE_KEYS)),
        boot_order=BootOrder(order),
    )


@dataclass(frozen=True, slots=True)
class _Document:
    """What an error says of the document: its name, and the lines of its keys."""

    name: str
    lines: Mapping[str, int]

    def error(self, key: str, problem: str, hint: str) -> ConfigurationError:
        """Return the error that names the file, the line and the key."""
        # A key that is missing belongs where its parent begins.
        line = self.lines.get(key) or self.lines.get(key.rpartition(".")[0])
        place = self.name if line is None else f"{self.name}:{line}"
        return ConfigurationError(f"{place}: {f'{key}: ' if key else ''}{problem}", hint=hint)

    def mapping(
        self,
        value: Any,  # noqa: ANN401 - from YAML
        key: str,
        known: tuple[str, ...] = (),
    ) -> Mapping[str, Any]:
        """Return `value`, which has to be a mapping, with no other keys than `known`."""
        if not isinstance(value, Mapping):
            raise self.error(key, "not a mapping" if key else "this is not a mapping", _HINT)
        for each in value if known else ():
            if each not in known:
                raise self.error(
                    f"{key}.{each}", "this key is unknown", f"known are {', '.join(known)}"
                )
        return value


def _read(text: str, name: str) -> tuple[Any, dict[str, int]]:
    """Return the document, and the number of the line of each key that may matter."""
    import yaml  # noqa: PLC0415 - only `edit` reads YAML

    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        return (
            None if root is None else loader.construct_document(root),
            dict(_lines_of(root, "", _DEEPEST)),
        )
    except yaml.YAMLError as e:
        where = getattr(e, "problem_mark", None)
        line = f":{where.line + 1}" if where else ""
        problem = getattr(e, "problem", None) or getattr(e, "reason", None) or "not YAML"
        raise ConfigurationError(f"{name}{line}: {problem}", hint=_HINT) from e
    # Nested too deep; a date that does not exist; `!!bool maybe`, `!!int` and more of that kind.
    except (RecursionError, ValueError, LookupError, TypeError, AttributeError) as e:
        problem = str(e) or type(e).__name__
        raise ConfigurationError(f"{name} is not YAML: {problem}", hint=_HINT) from e


def _lines_of(node: Any, path: str, depth: int) -> list[tuple[str, int]]:  # noqa: ANN401 - YAML's
    """Return (path of a key, its line) of a composed mapping, `depth` levels deep."""
    pairs = node.value if depth and getattr(node, "id", "") == "mapping" else ()
    found: list[tuple[str, int]] = []
    for key, value in pairs:
        here = f"{path}{key.value}"
        found += [(here, key.start_mark.line + 1), *_lines_of(value, f"{here}.", depth - 1)]
    return found


def _parse_image(found: _Document, raw: Mapping[str, Any]) -> SignedImageReference:
    for key in ("image", "transport"):
        if not isinstance(raw.get(key), str) or not raw[key]:
            raise found.error(f"spec.image.{key}", "a non-empty string is needed", _HINT)
    try:
        transport = Transport.parse(raw["transport"])
    except ReferenceFormatError as e:
        raise found.error("spec.image.transport", e.message, e.hint or _HINT) from e
    _require_one_line(found, "spec.image.image", raw["image"])
    return SignedImageReference(
        ImageReference(transport, raw["image"]), _parse_signature(found, raw.get("signature"))
    )


def _require_one_line(found: _Document, key: str, text: str) -> None:
    try:
        require_one_line(text)
    except ReferenceFormatError as e:
        raise found.error(key, e.message, e.hint or _HINT) from e


def _parse_signature(found: _Document, raw: Any) -> Signature:  # noqa: ANN401 - from YAML
    match raw:
        case None | "insecure":
            return Insecure()
        case "containerPolicy":
            return ContainerPolicy()
        case {"ostreeRemote": str(remote)}:
            _require_one_line(found, "spec.image.signature.ostreeRemote", remote)
            return OstreeRemote(remote)
        case _:
            raise found.error(
                "spec.image.signature",
                f"{reprlib.repr(raw)} is unknown",  # aliases can make it endless
                "use insecure, containerPolicy or a mapping with ostreeRemote",
            )
