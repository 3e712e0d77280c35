"""The requirements of a policy by the contents of the files that they name.

Apart from `bootcpy.model.image.acceptance`, so that `status` need not load what makes digests.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from bootcpy.model.image.acceptance import Demand
from bootcpy.model.image.policy import ANYTHING, Requirements

_KEYS = ("keyPath", "keyPaths", "keyData", "keyDatas")


def named_files(requirements: Requirements) -> tuple[str, ...]:
    """Return the paths of the keys and certificates that `requirements` name."""
    return tuple(dict.fromkeys(path for each in requirements.all for path in _paths(each)))


def _paths(value: Any) -> Iterator[str]:  # noqa: ANN401 - from JSON
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        if key.endswith(("Path", "Paths")):
            yield from (path for path in _listed(inner) if isinstance(path, str))
        else:
            yield from _paths(inner)


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - from JSON
    return value if isinstance(value, list) else [value]


def demands_of(requirements: Requirements, digests: Mapping[str, str]) -> tuple[Demand, ...]:
    """Return `requirements` as demands; `digests` are those of the files they name, by path."""
    return tuple(
        Demand(
            kind=each["type"],
            keys=tuple(sorted(_keys(each, digests))),
            rest=json.dumps(
                _by_contents(
                    {key: value for key, value in each.items() if key not in {"type", *_KEYS}},
                    digests,
                ),
                sort_keys=True,
            ),
        )
        for each in requirements.all
        if each["type"] != ANYTHING
    )


def _keys(requirement: Mapping[str, Any], digests: Mapping[str, str]) -> Iterator[str]:
    for name in _KEYS:
        for value in _listed(requirement.get(name, [])):
            yield _digest_of(name, str(value), digests)


def _digest_of(name: str, value: str, digests: Mapping[str, str]) -> str:
    if name.endswith(("Path", "Paths")):
        return digests.get(value, f"unreadable {value}")
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        data = value.encode()
    return digest_of(data)


def digest_of(data: bytes) -> str:
    """Return the digest by which the contents of a key file are compared."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _by_contents(value: Any, digests: Mapping[str, str]) -> Any:  # noqa: ANN401 - from JSON
    """Return `value` with the digests of files in place of their paths."""
    if not isinstance(value, Mapping):
        return value
    return {
        key: [digests.get(str(path), f"unreadable {path}") for path in _listed(inner)]
        if key.endswith(("Path", "Paths"))
        else _by_contents(inner, digests)
        for key, inner in value.items()
    }
