"""containers-policy.json(5): what it demands of an image. Pure text work.

A policy calls an image by its scopes, the narrowest first, as containers/image has them
(`PolicyConfigurationIdentity` and `PolicyConfigurationNamespaces` of each transport), which
is what skopeo looks by.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from bootcpy.model.base.listing import shown_few
from bootcpy.model.base.printable import printable
from bootcpy.model.base.strict_json import StrictJsonError, parse_strict_json
from bootcpy.model.image.reference import ImageReference, Transport

MOST_CHARACTERS = 1 << 20
ANYTHING = "insecureAcceptAnything"
_LONGEST_WORD = 120  # of what a message quotes
# How a policy names the transports; the others have their own names there, too.
_NAMES = {Transport.REGISTRY: "docker"}
# Where root's podman keeps images by default. A policy may name one store of several; an image
# in another is then judged by the transport's own scope here.
_STORE = "/var/lib/containers/storage"
_STORES = (f"[overlay@{_STORE}]", f"[{_STORE}]")


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
        scopes = self.transports.get(_transport_name(reference), {})
        found = (scopes[scope] for scope in _scopes(reference) if scope in scopes)
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


def _transport_name(reference: ImageReference) -> str:
    """Return the transport's name in a policy."""
    return _NAMES.get(reference.transport, reference.transport.value)


def _scopes(reference: ImageReference) -> Iterator[str]:
    """Yield what a policy may name `reference` by; the last is "", the transport as a whole.

    Paths must have been made absolute and free of links.
    """
    match reference.transport:
        case Transport.REGISTRY:
            yield from _registry_scopes(reference)
        case Transport.DOCKER_DAEMON:
            if not reference.name.startswith("sha256:"):
                yield from _registry_scopes(reference)
        case Transport.CONTAINERS_STORAGE:
            yield from _storage_scopes(reference)
        case Transport.OCI | Transport.OCI_ARCHIVE:
            yield from _path_scopes(reference.name.partition(":")[0])
        case Transport.DIR:
            yield from _path_scopes(reference.name)
        case Transport.DOCKER_ARCHIVE:
            pass
    yield ""


def _registry_scopes(reference: ImageReference) -> Iterator[str]:
    yield _identity(reference)
    yield from _namespaces(reference.repository)
    # Without a port, unlike the host above.
    host = reference.repository.partition("/")[0].partition(":")[0]
    while "." in host:
        host = host.partition(".")[2]
        yield f"*.{host}"


def _identity(reference: ImageReference) -> str:
    tail = f"@{reference.digest}" if reference.digest else f":{reference.tag}"
    return reference.repository + tail


def _namespaces(repository: str) -> Iterator[str]:
    yield repository
    while "/" in repository:
        repository = repository.rpartition("/")[0]
        yield repository


def _storage_scopes(reference: ImageReference) -> Iterator[str]:
    store = _STORES[0]
    if reference.name.startswith("@"):
        yield f"{store}{reference.name}"
    else:
        yield f"{store}{_identity(reference)}"
        yield from (f"{store}{name}" for name in _namespaces(reference.repository))
    yield from _STORES


def _path_scopes(path: str) -> Iterator[str]:
    """Yield `path` and the directories above it, but for the root: that is the scope ""."""
    while path.strip("/"):
        yield path
        path = path.rpartition("/")[0]
