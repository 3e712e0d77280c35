from dataclasses import replace

import pytest

from bootcpy.errors import BootcpyError, EnvironmentMismatchError, PrivilegeError
from bootcpy.model.base.process_facts import (
    ContainerFacts,
    ProcessFacts,
    parse_container_facts,
    require_root,
    require_self_install,
)
from tests.refusals import refused

_RUN = (
    "sudo podman run --rm --privileged --pid=host -v /dev:/dev "
    "-v /var/lib/containers:/var/lib/containers IMAGE bootc install to-disk DEVICE"
)
_ADD_PID = "add --pid=host to `podman run`"
_AS_ROOT = "start it as root: `sudo podman run ...`"

CONTAINERENV = """\
engine="podman-5.4.2"
name="happy_name"
id="bcc58d67"
image="localhost/os:latest"
imageid="e9668b8a"
rootless=0
"""
CONTAINER = ContainerFacts(
    engine="podman-5.4.2",
    name="happy_name",
    image="localhost/os:latest",
    image_id="e9668b8a",
    rootless=False,
)
GOOD = ProcessFacts(uid=0, has_sys_admin=True, pid=4711, pid1_uid=0, container=CONTAINER)


def test_parse_container_facts() -> None:
    assert parse_container_facts(CONTAINERENV) == CONTAINER
    assert parse_container_facts("") is None
    assert parse_container_facts("nonsense\n") is None


def test_require_self_install_accepts_privileged_podman() -> None:
    assert require_self_install(GOOD) == CONTAINER


@pytest.mark.parametrize(
    ("process", "kind", "message", "hint"),
    [
        (
            replace(GOOD, container=None),
            EnvironmentMismatchError,
            "not a podman container",
            _RUN,
        ),
        (
            replace(GOOD, uid=1000),
            PrivilegeError,
            "must be root",
            "start podman itself as root: `sudo podman run ...`",
        ),
        (
            replace(GOOD, has_sys_admin=False),
            PrivilegeError,
            "CAP_SYS_ADMIN",
            "add --privileged to `podman run`",
        ),
        (replace(GOOD, pid=1), EnvironmentMismatchError, "process namespace", _ADD_PID),
        (replace(GOOD, beside_pid1=True), EnvironmentMismatchError, "process namespace", _ADD_PID),
        (replace(GOOD, pid1_uid=1000), PrivilegeError, "rootless", _AS_ROOT),
        (
            replace(GOOD, container=replace(CONTAINER, rootless=True)),
            PrivilegeError,
            "rootless",
            _AS_ROOT,
        ),
        (
            replace(GOOD, container=replace(CONTAINER, engine="docker")),
            EnvironmentMismatchError,
            "docker",
            _RUN,
        ),
        (
            replace(GOOD, container=replace(CONTAINER, image_id="")),
            EnvironmentMismatchError,
            "which image the container happy_name runs",
            "start the container from an image, not from a root file system",
        ),
    ],
    ids=[
        "no-container",
        "not-root",
        "not-privileged",
        "own-pid-namespace",
        "below-another-program",
        "user-namespace",
        "rootless",
        "docker",
        "no-image",
    ],
)
def test_require_self_install_refuses(
    process: ProcessFacts, kind: type[BootcpyError], message: str, hint: str
) -> None:
    with refused(kind, message, hint=hint):
        require_self_install(process)


def test_require_root_points_at_sudo_outside_containers() -> None:
    with refused(PrivilegeError, hint="run it with sudo") as caught:
        require_root(replace(GOOD, uid=1000, container=None))
    assert caught.value.message == "the user running this command must be root"
