"""Podman, adapted to the host it runs on: an ordinary machine needs nothing extra.

Build hosts and CI machines are often containers or virtual machines with part of the kernel's
interfaces missing. What is missing is found out here, once, and made up for with options.
"""

import functools
import json
import os
import resource
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootcpy.errors import BootcpyError, PrivilegeError
from tools import steps

_CGROUPS = Path("/sys/fs/cgroup")
_CAP_SYS_RESOURCE = 24  # linux/capability.h
# More than any build needs; the hard limit of a big machine may be above what the kernel takes.
_PROCESSES_MAX = 32768
# Gives podman the one cgroup hierarchy it expects, in a mount namespace of its own.
_WITH_CGROUP2 = """
mount --make-rprivate / && umount --lazy --recursive /sys/fs/cgroup \
&& mount -t cgroup2 none /sys/fs/cgroup && exec podman "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What podman would trip over."""

    unified_cgroups: bool
    may_raise_limits: bool  # CAP_SYS_RESOURCE
    has_runc: bool
    hard_limits: Mapping[str, int]  # by the names `podman run --ulimit` knows


@dataclass(frozen=True, slots=True, kw_only=True)
class Podman:
    """How to call podman here."""

    command: tuple[str, ...]
    run_options: tuple[str, ...] = ()
    build_options: tuple[str, ...] = ()


def adapted(host: Host) -> Podman:
    """Return how to call podman on `host`."""
    command: tuple[str, ...] = ("podman",)
    run_options: list[str] = []
    build_options: list[str] = []
    if not host.unified_cgroups:
        command = ("unshare", "--mount", "sh", "-c", _WITH_CGROUP2, "podman")
        command += ("--cgroup-manager=cgroupfs",)
        run_options.append("--pids-limit=0")  # the old hierarchy has that controller
    if not host.may_raise_limits:
        # Podman's own defaults are above the limits of the process that starts it.
        for name, limit in sorted(host.hard_limits.items()):
            if limit != resource.RLIM_INFINITY:
                value = min(limit, _PROCESSES_MAX) if name == "nproc" else limit
                run_options.append(f"--ulimit={name}={value}:{value}")
        build_options.append("--isolation=chroot")  # no runtime, so no limits to set
        if host.has_runc:
            command += ("--runtime=runc",)  # crun sets a limit to what it is already, and may not
    return Podman(
        command=command, run_options=tuple(run_options), build_options=tuple(build_options)
    )


@functools.cache
def podman() -> Podman:
    """Return how to call podman on this host.

    Raises:
        PrivilegeError: not root; images are installed onto disks by root's podman.
    """
    if os.geteuid() != 0:
        raise PrivilegeError("images are built and run by root's podman", hint="use sudo")
    return adapted(read_host())


def read_host() -> Host:
    """Return what podman would trip over on this host."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    capabilities = next(x.split()[1] for x in status.splitlines() if x.startswith("CapEff:"))
    limits = {
        "memlock": resource.RLIMIT_MEMLOCK,
        "nofile": resource.RLIMIT_NOFILE,
        "nproc": resource.RLIMIT_NPROC,
    }
    return Host(
        unified_cgroups=(_CGROUPS / "cgroup.controllers").exists(),
        may_raise_limits=bool(int(capabilities, 16) >> _CAP_SYS_RESOURCE & 1),
        has_runc=shutil.which("runc", path=f"{os.defpath}:/usr/sbin:/sbin") is not None,
        hard_limits={name: resource.getrlimit(number)[1] for name, number in limits.items()},
    )


def run_installer(
    reference: str,
    argv: Sequence[str],
    *,
    target: Path | None = None,
    mounts: Mapping[Path, str] | None = None,
) -> str:
    """Run `argv` in the image as an administrator installs it, show and return its output.

    The container is privileged, sees the host's devices, processes and images, and `target`
    as /target; `mounts` are more of the host's paths, by what the container calls them.

    Raises:
        BootcpyError: it ended with a status other than 0.
    """
    here = podman()
    volumes = {
        Path("/dev"): "/dev",
        Path("/var/lib/containers"): "/var/lib/containers",
        **({target.resolve(): "/target"} if target is not None else {}),
        **(mounts or {}),
    }
    return steps.run([
        *here.command,
        *("run", "--rm", "--privileged", "--pid=host", "--net=host"),
        "--security-opt=label=disable",
        *here.run_options,
        *(f"--volume={outside}:{inside}" for outside, inside in volumes.items()),
        reference,
        *argv,
    ])


def run(reference: str, argv: Sequence[str]) -> str:
    """Run `argv` in the image without any privilege, and return its output.

    Raises:
        BootcpyError: it ended with a status other than 0.
    """
    here = podman()
    return steps.run([
        *here.command,
        *("run", "--rm", "--net=none"),
        *here.run_options,
        reference,
        *argv,
    ])


def build(
    context: Path,
    *,
    containerfile: Path,
    reference: str,
    arguments: Mapping[str, str] | None = None,
    volumes: Mapping[Path, str] | None = None,
    cache: bool = True,
) -> None:
    """Build `containerfile` and name the image `reference`; steps that did not change are kept.

    `volumes` are the host's files that RUN steps see, by what they call them.

    Raises:
        BootcpyError: the build failed.
    """
    here = podman()
    steps.run([
        *here.command,
        *("build", "--tag", reference, "--file", str(containerfile)),
        *(("--layers",) if cache else ("--no-cache",)),
        *here.build_options,
        *(f"--build-arg={name}={value}" for name, value in (arguments or {}).items()),
        *(f"--volume={outside}:{inside}:ro" for outside, inside in (volumes or {}).items()),
        str(context),
    ])


def image_id(reference: str) -> str | None:
    """Return the identifier of an image that is here, if it is."""
    found = _asked("image", "inspect", reference)
    return str(found[0]["Id"]) if found else None


def image_digest(reference: str) -> str:
    """Return the digest of the manifest of an image that is here.

    Raises:
        BootcpyError: it is not.
    """
    found = _asked("image", "inspect", reference)
    if not found:
        raise BootcpyError(f"the image {reference} is not here")
    return str(found[0]["Digest"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer of an image, unpacked."""

    made_by: str  # the instruction
    size_bytes: int


def image_layers(reference: str) -> tuple[Layer, ...]:
    """Return the layers of an image that is here, the lowest first."""
    history = _asked("image", "history", "--format=json", "--no-trunc", reference) or []
    return tuple(
        Layer(made_by=str(entry.get("CreatedBy", "")), size_bytes=int(entry["size"]))
        for entry in reversed(history)
        if int(entry["size"]) > 0
    )


def pull(reference: str) -> None:
    """Fetch an image from its registry.

    Raises:
        BootcpyError: it cannot be had.
    """
    steps.run([*podman().command, "pull", reference])


def import_tree(archive: Path, *, reference: str) -> None:
    """Make an image of one layer from a tar archive of a root file system.

    Raises:
        BootcpyError: podman refused it.
    """
    steps.run([*podman().command, "import", "--change=CMD=bash", str(archive), reference])


def remove_image(identifier: str) -> None:
    """Remove an image, unless something still uses it."""
    subprocess.run([*podman().command, "rmi", identifier], check=False, capture_output=True)


def _asked(*arguments: str) -> list[dict[str, Any]] | None:
    """Return what podman answers in JSON; None when it has no answer."""
    done = subprocess.run(
        [*podman().command, *arguments], check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        return None
    answer = json.loads(done.stdout)
    return answer if isinstance(answer, list) else None
