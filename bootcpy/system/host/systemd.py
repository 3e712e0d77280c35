"""systemd: rebooting, and structured journal entries."""

import socket
from collections.abc import Mapping
from uuid import UUID

from bootcpy.errors import BootcpyError
from bootcpy.model.base.printable import printable
from bootcpy.system.process.run import spawn

_JOURNAL_SOCKET = "/run/systemd/journal/socket"

# Message ids that bootc uses, as far as its own are 128 bits long.
MESSAGE_STAGE = UUID("8f7a2b1c3d4e5f6a7b8c9d0e1f2a3b4c")
MESSAGE_ROLLBACK = UUID("26f3b1eb24464d12aa5e7b544a6b5468")
MESSAGE_UPDATE_LOST = UUID("6d1275ef-0d0e-43b8-9329-6e469b64b660")  # our own


def reboot() -> None:
    """Ask systemd to reboot; returns before it does.

    The request runs in a unit of its own, so that it outlives the session it came from.

    Raises:
        BootcpyError: systemd refuses.
    """
    message = "--message=Initiated by bootc"
    child = spawn(["systemd-run", "--quiet", "--", "systemctl", "reboot", message])
    status = child.wait()
    if status != 0:
        raise BootcpyError(
            f"the reboot could not be started (exit status {status} of systemd-run)",
            hint="run `systemctl reboot`",
        )


def journal(
    message: str, message_id: UUID, fields: Mapping[str, str], *, to: str = _JOURNAL_SOCKET
) -> None:
    """Write an entry to the journal, where there is one (systemd: Native Journal Protocol)."""
    entry = {"MESSAGE": printable(message), "MESSAGE_ID": message_id.hex, "PRIORITY": "6", **fields}
    datagram = b"".join(_field(name, value) for name, value in entry.items())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto(datagram, to)
        except OSError:  # no journal, as in a container: the entry is a courtesy
            return


def _field(name: str, value: str) -> bytes:
    """Serialise a field; a value with a newline is preceded by its length."""
    head = name.replace(".", "_").upper().encode()
    body = value.encode()
    if b"\n" not in body:
        return head + b"=" + body + b"\n"
    return head + b"\n" + len(body).to_bytes(8, "little") + body + b"\n"
