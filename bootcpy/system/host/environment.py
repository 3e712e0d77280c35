"""Where this process runs: rights, container, machine."""

import os
from pathlib import Path

from bootcpy import paths
from bootcpy.model.base.process_facts import ContainerFacts, ProcessFacts, parse_container_facts

_CAP_SYS_ADMIN = 21  # linux/capability.h


def machine() -> str:
    """Return the architecture as `uname -m` prints it."""
    return os.uname().machine


def is_in_container() -> bool:
    """Return whether this process runs in a container, by bootc's three signs."""
    return "container" in os.environ or paths.CONTAINER_ENV.exists() or paths.DOCKER_ENV.exists()


def is_ostree_host() -> bool:
    """Return whether libostree booted the system that this process runs on, not in."""
    return not is_in_container() and paths.OSTREE_BOOTED.exists()


def read_process() -> ProcessFacts:
    """Return the facts about this process."""
    try:
        text = paths.CONTAINER_ENV.read_text(encoding="utf-8")
    except OSError:
        text = None
    return ProcessFacts(
        uid=os.geteuid(),
        has_sys_admin=_has_sys_admin(),
        pid=os.getpid(),
        pid1_uid=Path("/proc/1").stat().st_uid,
        beside_pid1=_namespace("1") == _namespace("self"),
        container=None
        if text is None
        else parse_container_facts(text)
        or ContainerFacts(engine="", name="", image="", image_id="", rootless=False),
    )


def _namespace(process: str) -> str | None:
    try:
        return str(Path(f"/proc/{process}/ns/mnt").readlink())
    except OSError:  # another user's
        return None


def _has_sys_admin() -> bool:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapBnd:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1)
    return False
