"""Mounts, as context managers, and what the kernel says is mounted."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bootcpy.errors import BootcpyError, ToolFailedError
from bootcpy.system.process.libc import unshare_mounts
from bootcpy.system.process.run import run

_INIT_NAMESPACE = "/proc/1/ns/mnt"
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of mountinfo."""

    device: str  # "major:minor"
    mount_point: Path
    filesystem: str
    source: str


def parse_mountinfo(text: str) -> tuple[Mount, ...]:
    """Read the text of /proc/PID/mountinfo (proc_pid_mountinfo(5))."""
    mounts: list[Mount] = []
    for line in text.splitlines():
        fields = line.split(" ")
        separator = fields.index("-", 6)
        mounts.append(
            Mount(
                device=fields[2],
                mount_point=Path(_unescape(fields[4])),
                filesystem=fields[separator + 1],
                source=_unescape(fields[separator + 2]),
            )
        )
    return tuple(mounts)


def _unescape(field: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), field)


def read_mounts(pid: int | str = "self") -> tuple[Mount, ...]:
    """Return what is mounted in the mount namespace of the process `pid`; root may read any."""
    text = Path(f"/proc/{pid}/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    return parse_mountinfo(text)


def enter_private_namespace() -> None:
    """Move this process into a mount namespace of its own.

    From here on its mounts are seen by it and its children only, and the kernel undoes
    them when the last of these is gone, however it ends.

    Raises:
        BootcpyError: the kernel refuses.
    """
    try:
        unshare_mounts()
    except OSError as e:
        raise BootcpyError(
            f"cannot make a private mount namespace: {e.strerror}",
            hint="run as root; in a container, add --privileged",
        ) from e
    run("mount", "--make-rprivate", "/")


@contextmanager
def mounted(
    source: str | Path, target: Path, *, filesystem: str, options: str | None = None
) -> Generator[Path]:
    """Mount `source` at the directory `target`, made if need be, for as long.

    Raises:
        ToolFailedError: it cannot be mounted, or is still in use at the end.
    """
    target.mkdir(parents=True, exist_ok=True)
    run(
        "mount",
        *("-t", filesystem),
        *(("-o", options) if options else ()),
        str(source),
        target,
    )
    try:
        yield target
    except BaseException:
        # What failed matters more than a mount the kernel will undo anyway.
        _unmount_lazily(target)
        raise
    run("umount", "--recursive", target)


def _unmount_lazily(target: Path) -> None:
    try:
        run("umount", "--recursive", "--lazy", target)
    except ToolFailedError:
        return


def unmount_for_all(target: Path) -> None:
    """Unmount `target` and what is below, if it is mounted, also in the system's own namespace.

    Raises:
        ToolFailedError: it cannot be unmounted.
    """
    words = ("umount", "--recursive", "--lazy", target)
    if _is_mounted(target, "self"):
        run(*words)
    if _is_mounted(target, 1):
        run("nsenter", f"--mount={_INIT_NAMESPACE}", *words)


def _is_mounted(target: Path, pid: int | str) -> bool:
    return any(mount.mount_point == target for mount in read_mounts(pid))
