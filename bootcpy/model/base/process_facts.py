"""What was found out about this process, its rights and its container; and who may install."""

import shlex
from dataclasses import dataclass

from bootcpy.errors import EnvironmentMismatchError, PrivilegeError

_RUN_HINT = (
    "sudo podman run --rm --privileged --pid=host -v /dev:/dev "
    "-v /var/lib/containers:/var/lib/containers IMAGE bootc install to-disk DEVICE"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFacts:
    """What podman wrote into /run/.containerenv of a privileged container."""

    engine: str
    name: str
    image: str
    image_id: str
    rootless: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFacts:
    """What decides whether this process may install."""

    uid: int
    has_sys_admin: bool
    pid: int
    pid1_uid: int
    beside_pid1: bool = False  # process 1 is of this container, not the host's
    container: ContainerFacts | None


def parse_container_facts(text: str) -> ContainerFacts | None:
    """Read the key="value" lines of /run/.containerenv; None if empty, as unprivileged."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    values = {key.strip(): "".join(shlex.split(value)) for key, _, value in pairs}
    if "engine" not in values:
        return None
    return ContainerFacts(
        engine=values["engine"],
        name=values.get("name", ""),
        image=values.get("image", ""),
        image_id=values.get("imageid", ""),
        rootless=values.get("rootless") == "1",
    )


def require_root(process: ProcessFacts) -> None:
    """Refuse to go on without full rights.

    Raises:
        PrivilegeError: the user is not root, or lacks CAP_SYS_ADMIN.
    """
    if process.uid != 0:
        where = " inside the container" if process.container else ""
        raise PrivilegeError(
            f"the user running this command{where} must be root",
            hint="start podman itself as root: `sudo podman run ...`"
            if process.container
            else "run it with sudo",
        )
    if not process.has_sys_admin:
        raise PrivilegeError(
            "this command needs full privileges (CAP_SYS_ADMIN)",
            hint="add --privileged to `podman run`",
        )


def require_self_install(process: ProcessFacts) -> ContainerFacts:
    """Return what is known of the container whose own image is to be installed.

    The checks and their order are those of bootc's prepare_install.

    Raises:
        PrivilegeError: rights are missing.
        EnvironmentMismatchError: this is no podman container, or one started otherwise.
    """
    container = process.container
    if container is None:
        raise EnvironmentMismatchError(
            "no --source-imgref is given, and this is not a podman container",
            hint=_RUN_HINT,
        )
    require_root(process)
    if process.pid == 1 or process.beside_pid1:  # the mounts of the host could not be seen
        raise EnvironmentMismatchError(
            "the container has a process namespace of its own",
            hint="add --pid=host to `podman run`",
        )
    if container.rootless or process.pid1_uid != 0:
        raise PrivilegeError(
            "cannot install from rootless podman", hint="start it as root: `sudo podman run ...`"
        )
    if not container.engine.startswith("podman"):
        raise EnvironmentMismatchError(
            f"cannot install from a container of {container.engine or 'an unknown engine'}",
            hint=_RUN_HINT,
        )
    if not container.image_id:
        raise EnvironmentMismatchError(
            f"podman does not say which image the container {container.name} runs",
            hint="start the container from an image, not from a root file system",
        )
    return container
