"""QEMU's monitor: commands to the machine itself, such as plugging in a disk.

The protocol: https://www.qemu.org/docs/master/interop/qmp-spec.html
"""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from bootcpy.errors import BootcpyError
from tools import qemu

_TIMEOUT_S = 120
_PLUGGED = "plugged"  # the name of the disk in the slot


class Ask(Protocol):
    """Has QEMU carry out a command."""

    def __call__(self, command: str, **arguments: object) -> dict[str, Any]:
        """Return what QEMU answers to `command`."""


@contextmanager
def connected(monitor: Path) -> Iterator[Ask]:
    """Yield what asks the QEMU whose monitor is the socket `monitor`.

    Raises:
        BootcpyError: QEMU refuses a command, or ends before it answers.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_TIMEOUT_S)
        connection.connect(str(monitor))
        with connection.makefile("rw", encoding="utf-8") as stream:

            def ask(command: str, **arguments: object) -> dict[str, Any]:
                stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
                stream.flush()
                for line in stream:
                    answer: dict[str, Any] = json.loads(line)
                    if "error" in answer:
                        raise BootcpyError(f"QEMU: {command}: {answer['error']['desc']}")
                    if "return" in answer:  # what else it says are events
                        return dict(answer["return"])
                raise BootcpyError(f"QEMU ended before it answered {command}")

            ask("qmp_capabilities")
            yield ask


def plug_in(monitor: Path, disk: qemu.Disk) -> None:
    """Plug `disk` into the machine while it runs; it stays there until the machine is off.

    Raises:
        BootcpyError: the slot is taken, or the disk cannot be opened.
    """
    with connected(monitor) as ask:
        ask("blockdev-add", **disk.block_device(_PLUGGED))
        device = {"driver": "virtio-blk-pci", "drive": _PLUGGED, "serial": _PLUGGED}
        ask("device_add", **device, id=_PLUGGED, bus=qemu.SLOT)
