"""Loop devices: a file, or a range of a file or device, as a block device.

One loop device per partition, by offset, works on every kernel and in containers
without udev; `losetup --partscan` needs both partition parsing and device nodes. The
kernel detaches each by itself when its last user is gone (LO_FLAGS_AUTOCLEAR), so
that even a killed process leaves none behind.
"""

import errno
import fcntl
import logging
import os
import stat
import struct
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from bootcpy.errors import TargetError
from bootcpy.system.disk.device_lock import open_for_writing

log = logging.getLogger(__name__)

# linux/loop.h
_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_LO_FLAGS_AUTOCLEAR = 4
_LO_FLAGS_DIRECT_IO = 16
_LOOP_MAJOR = 7
# struct loop_config { __u32 fd, block_size; struct loop_info64 info; __u64 reserved[8]; }
_LOOP_CONFIG = struct.Struct("=II 5Q 4I 64s64s32s 2Q 64x")
_CONTROL = Path("/dev/loop-control")
_ATTEMPTS = 64  # another process may take the number we were given


@contextmanager
def attached(
    backing: Path,
    *,
    nodes: Path,
    offset_bytes: int = 0,
    size_bytes: int = 0,
    sector_bytes: int = 512,
    direct_io: bool = False,
) -> Generator[Path]:
    """Attach a range of `backing` to a loop device and yield its node for as long.

    `size_bytes` 0 means up to the end. Where /dev lacks the node, as in a container, it
    is made in the directory `nodes`. On leaving, written data is on `backing`, and the
    device is detached.

    Raises:
        TargetError: there is no loop device to be had, or `backing` cannot be opened.
    """
    backing_fd = open_for_writing(backing)
    config = _LOOP_CONFIG.pack(
        backing_fd,
        sector_bytes,
        0,  # lo_device
        0,  # lo_inode
        0,  # lo_rdevice
        offset_bytes,
        size_bytes,
        0,  # lo_number
        0,  # lo_encrypt_type
        0,  # lo_encrypt_key_size
        _LO_FLAGS_AUTOCLEAR | (_LO_FLAGS_DIRECT_IO if direct_io else 0),
        os.fsencode(backing)[:63],
        b"",
        b"",
        0,
        0,
    )
    try:
        loop_fd, node = _configure_free(config, nodes)
    finally:
        os.close(backing_fd)  # the loop device keeps its own reference
    log.debug("%s: %s from byte %d, %d bytes", node, backing, offset_bytes, size_bytes)
    try:
        yield node
        os.fsync(loop_fd)
    finally:
        os.close(loop_fd)


def _configure_free(config: bytes, nodes: Path) -> tuple[int, Path]:
    try:
        control_fd = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    except OSError as e:
        raise TargetError(
            f"cannot use loop devices: {_CONTROL}: {e.strerror}",
            hint="load the kernel module `loop`; in a container, add --privileged -v /dev:/dev",
        ) from e
    try:
        for _ in range(_ATTEMPTS):
            number = fcntl.ioctl(control_fd, _LOOP_CTL_GET_FREE)
            node = device_node(f"loop{number}", os.makedev(_LOOP_MAJOR, number), nodes=nodes)
            loop_fd = os.open(node, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(loop_fd, _LOOP_CONFIGURE, config)
            except OSError as e:
                os.close(loop_fd)
                if e.errno != errno.EBUSY:
                    raise
            else:
                return loop_fd, node
    except OSError as e:
        raise TargetError(
            f"cannot set up a loop device: {e.filename or _CONTROL}: {e.strerror}",
            hint="in a container, add --privileged",
        ) from e
    finally:
        os.close(control_fd)
    raise TargetError("no loop device is free", hint="detach one: see `losetup --list`")


def device_node(name: str, device: int, *, nodes: Path) -> Path:
    """Return a node for the block device with the number `device`, made in `nodes` if need be."""
    usual = Path("/dev", name)
    try:
        status = usual.stat()
    except FileNotFoundError:
        pass
    else:
        if stat.S_ISBLK(status.st_mode) and status.st_rdev == device:
            return usual
    own = nodes / name
    own.unlink(missing_ok=True)
    os.mknod(own, stat.S_IFBLK | 0o600, device)
    return own
