"""containers-policy.json(5): what it demands of an image. Pure text work."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from bootcpy.model.base.listing import shown_few
from bootcpy.model.base.printable import printable
from bootcpy.model.base.strict_json import StrictJsonError, parse_strict_json
from bootcpy.model.image.policy_scopes import policy_scopes, policy_transport
from bootcpy.model.image.reference import ImageReference

MOST_CHARACTERS = 1 << 20
ANYTHING = "insecureAcceptAnything"
_LONGEST_WORD = 120  # of what a message quotes


class PolicyFormatError(ValueError):
    """The text is no policy; its text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What a policy demands of an image, all of it together, and for which scope it says so.

    Attributes:
        all: the requirement objects, at least one.
        place: `by default`, or a transport and its scope: `for docker quay.io/example`.
    """

    all: tuple[Mapping[str, Any], ...]
    place: str

    @property
    def accept_anything(self) -> bool:
        """Whether every image satisfies them."""
        return all(each["type"] == ANYTHING for each in self.all)

    def __str__(self) -> str:
        """Name them with their keys: `signedBy (/etc/pki/os.gpg) for docker quay.io/example`."""
        return f"{shown_few([_describe(each) for each in self.all])} {self.place}"


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as it was read; the scopes of each transport, and what holds elsewhere."""

    default: Requirements
    transports: Mapping[str, Mapping[str, Requirements]]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a policy.json.

        Raises:
            PolicyFormatError: it is none.
        """
        try:
            document = parse_strict_json(text, most_characters=MOST_CHARACTERS)
        except StrictJsonError as e:
            raise PolicyFormatError(str(e)) from e
        policy = _mapping(document, "it")
        transports = {
            name: {
                scope: _requirements(each, f"for {name} {scope}".rstrip())
                for scope, each in _mapping(scopes, name).items()
            }
            for name, scopes in _mapping(policy.get("transports") or {}, "transports").items()
        }
        return cls(_requirements(policy.get("default"), "by default"), transports)

    def governing(self, reference: ImageReference) -> Requirements:
        """Return what is demanded of `reference`: by its narrowest scope, else by default."""
        scopes = self.transports.get(policy_transport(reference), {})
        found = (scopes[scope] for scope in policy_scopes(reference) if scope in scopes)
        return next(found, self.default)


def _mapping(value: Any, name: str) -> Mapping[str, Any]:  # noqa: ANN401 - from JSON
    if not isinstance(value, Mapping):
        raise PolicyFormatError(f"{_shown(name)} is not an object")
    return value


def _requirements(value: Any, place: str) -> Requirements:  # noqa: ANN401 - from JSON
    place = _shown(place)
    if not isinstance(value, list) or not value:
        raise PolicyFormatError(f"there is no list of requirements {place}")
    for each in value:
        if not isinstance(each, Mapping) or not isinstance(each.get("type"), str):
            raise PolicyFormatError(f"a requirement {place} has no type")
    return Requirements(all=tuple(value), place=place)


def _describe(requirement: Mapping[str, Any]) -> str:
    several = requirement.get("keyPaths")
    keys = [requirement.get("keyPath"), *(several if isinstance(several, list) else ())]
    named = shown_few([_shown(str(key)) for key in keys if key])
    kind = _shown(requirement["type"])
    return f"{kind} ({named})" if named else kind


def _shown(text: str) -> str:
    return printable(text, limit=_LONGEST_WORD)
