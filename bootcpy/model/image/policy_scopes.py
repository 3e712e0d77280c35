"""What containers-policy.json(5) may call an image: its scopes, the narrowest first.

As in containers/image (`PolicyConfigurationIdentity` and `PolicyConfigurationNamespaces` of
each transport), which is what skopeo looks by.
"""

from collections.abc import Iterator

from bootcpy.model.image.reference import ImageReference, Transport

# How a policy names the transports; the others have their own names there, too.
_NAMES = {Transport.REGISTRY: "docker"}
# Where root's podman keeps images by default. A policy may name one store of several; an image
# in another is then judged by the transport's own scope here.
_STORE = "/var/lib/containers/storage"
_STORES = (f"[overlay@{_STORE}]", f"[{_STORE}]")


def policy_transport(reference: ImageReference) -> str:
    """Return the transport's name in a policy."""
    return _NAMES.get(reference.transport, reference.transport.value)


def policy_scopes(reference: ImageReference) -> Iterator[str]:
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
