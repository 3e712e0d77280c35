"""containers-policy.json(5): what it demands of an image. Pure text work."""

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from bootcpy.model.image import ImageReference, Transport

# How a policy names the transports; the others have their own names there, too.
_NAMES = {Transport.REGISTRY: "docker"}


def refuses_nothing(policy_text: str) -> bool:
    """Tell whether a policy.json's default is exactly one `insecureAcceptAnything`.

    As in ostree-ext, per-transport scopes are not looked at.

    Raises:
        ValueError: the text is not JSON.
    """
    policy = json.loads(policy_text)
    default = policy.get("default") if isinstance(policy, dict) else None
    return (
        isinstance(default, list)
        and len(default) == 1
        and isinstance(default[0], dict)
        and default[0].get("type") == "insecureAcceptAnything"
    )


def describe_requirement(policy_text: str, reference: ImageReference) -> str | None:
    """Return which entry of a policy.json governs `reference`, and what it demands.

    Such as `signedBy (/etc/pki/os.gpg) for docker quay.io/example`; None if the text is
    no policy.
    """
    try:
        policy = json.loads(policy_text)
        transport = _NAMES.get(reference.transport, reference.transport.value)
        scopes = policy.get("transports", {}).get(transport, {})
        for scope in _scopes(reference):
            if scope in scopes:
                where = f"{transport} {scope}".rstrip()
                return f"{_demands(scopes[scope])} for {where}"
        return f"{_demands(policy['default'])} by default"
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _demands(requirements: list[dict[str, Any]]) -> str:
    """Return the types of `requirements`, with the keys they name."""
    return ", ".join(map(_demand, requirements)) or "nothing"


def _demand(requirement: dict[str, Any]) -> str:
    keys = [requirement.get("keyPath"), *requirement.get("keyPaths", ())]
    named = ", ".join(str(key) for key in keys if key)
    return f"{requirement['type']} ({named})" if named else str(requirement["type"])


def _scopes(reference: ImageReference) -> Iterator[str]:
    """Yield what a policy may name `reference` by, the narrowest first."""
    if reference.transport is Transport.REGISTRY:
        yield from _registry_scopes(reference)
    else:
        yield reference.name
        path = reference.name.partition(":")[0]
        yield path
        yield from (str(parent) for parent in PurePosixPath(path).parents)
    yield ""


def _registry_scopes(reference: ImageReference) -> Iterator[str]:
    scope = reference.repository
    yield f"{scope}@{reference.digest}" if reference.digest else f"{scope}:{reference.tag}"
    yield scope
    while "/" in scope:
        scope = scope.rpartition("/")[0]
        yield scope
    name, colon, port = scope.partition(":")
    while "." in name:
        name = name.partition(".")[2]
        yield f"*.{name}{colon}{port}"
