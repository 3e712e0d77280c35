"""The protocol of `skopeo experimental-image-proxy`: every transport, one way to read.

The proxy speaks JSON packets over a SOCK_SEQPACKET socket and hands data over in
pipes. Two of its habits shape what uses it: it keeps a pipe's write end open until
FinishPipe is asked for, so the end of the data never comes by itself; and a digest
that does not match is reported only there, after all bytes were delivered. What was
read is therefore to be believed only when that was answered.
"""

import array
import json
import os
import socket
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Final

from bootcpy.errors import BootcpyError, ImageContentError
from bootcpy.model.image.oci_fields import MOST_CONFIG_CHARACTERS
from bootcpy.model.image.patience import ANSWER_FACTOR
from bootcpy.system.process.run import Spawned, end, spawn, tail
from bootcpy.system.process.stalls import Watch

_PACKET_BYTES: Final = 1 << 20  # an inline GetLayerInfo may exceed the nominal 32 KiB
_MAX_FDS: Final = 2
_PATIENCE_S: Final = 2.0  # how long a proxy that was told to end may take
# Nothing is read beyond what the larger of the two may have; the models have their limits.
_LARGEST_DOCUMENT_BYTES: Final = MOST_CONFIG_CHARACTERS
_SUPPORTED: Final = ((0, 2, 3), (0, 3, 0))  # from the first up to, not including, the second


class ProxyRequestError(Exception):
    """The proxy answered a request with an error; the text is its own."""


class ProxyStalledError(Exception):
    """The proxy has not answered a request for as long as it may take."""


@dataclass(frozen=True, slots=True)
class ProxyReply:
    """What a request was answered with: a value, and the read ends of pipes."""

    value: Any
    pipe_id: int
    fds: tuple[int, ...]


@contextmanager
def running_proxy(options: Sequence[str]) -> Generator["Proxy"]:
    """Start skopeo with `options` and shake hands; it ends with the context.

    Raises:
        BootcpyError: skopeo is missing or speaks a protocol this program does not know.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, tempfile.TemporaryFile() as stderr:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _PACKET_BYTES)
        with theirs:
            process = spawn(
                ["skopeo", "experimental-image-proxy", *options],
                stdin=theirs.fileno(),
                stderr=stderr.fileno(),
            )
        try:
            proxy = Proxy(ours, process, stderr)
            proxy.shake_hands()
            yield proxy
        finally:
            ours.close()  # it exits when the other end is gone, unless the network stalls
            end(process, patience_s=_PATIENCE_S)


class Proxy:
    """A running image proxy; requests are strictly one after another.

    Attributes:
        version: of the protocol; known once hands were shaken.
        stall_timeout_s: how long nothing may come of a layer; None for ever.
    """

    def __init__(self, connection: socket.socket, process: Spawned, stderr: IO[bytes]) -> None:
        """Speak over `connection` with `process`, which complains to the file `stderr`."""
        self.version: tuple[int, ...] = ()
        self.stall_timeout_s: int | None = None
        self._socket = connection
        self._process = process
        self._stderr = stderr

    def shake_hands(self) -> None:
        """Make sure that we understand each other.

        Raises:
            BootcpyError: this skopeo has no proxy, or speaks another protocol.
        """
        try:
            self.version = _parse_version(self.request("Initialize").value)
        except ProxyRequestError as e:
            raise BootcpyError(
                f"skopeo's image proxy does not start: {e}",
                hint="see what `skopeo experimental-image-proxy --help` says",
            ) from e
        low, high = _SUPPORTED
        if not low <= self.version < high:
            raise BootcpyError(
                f"skopeo speaks image proxy protocol {'.'.join(map(str, self.version))}, "
                f"which this program does not know",
                hint="install skopeo 1.6 or newer",
            )

    @property
    def answer_timeout_s(self) -> int | None:
        """How long an answer may take; None for ever."""
        return None if self.stall_timeout_s is None else self.stall_timeout_s * ANSWER_FACTOR

    def fileno(self) -> int:
        """Return the socket's descriptor, for select."""
        return self._socket.fileno()

    def send(self, method: str, *args: object) -> None:
        """Send a request; the reply is taken with `receive()`."""
        packet = json.dumps({"method": method, "args": list(args)}).encode()
        try:
            self._socket.send(packet)
        except OSError as e:
            raise ProxyRequestError(self._last_words(str(e))) from e

    def receive(self) -> ProxyReply:
        """Take the reply to the request sent last.

        Raises:
            ProxyRequestError: the proxy reports an error, or is gone.
            ProxyStalledError: it does not answer.
        """
        Watch(self.answer_timeout_s).wait_for(self._socket, ProxyStalledError)
        descriptors = array.array("i")
        try:
            packet, ancillary, flags, _ = self._socket.recvmsg(
                _PACKET_BYTES,
                socket.CMSG_SPACE(_MAX_FDS * descriptors.itemsize),
                socket.MSG_CMSG_CLOEXEC,
            )
        except OSError as e:  # reset: it died with a request of ours unread
            raise ProxyRequestError(self._last_words(str(e))) from e
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                whole = len(payload) - len(payload) % descriptors.itemsize
                descriptors.frombytes(payload[:whole])
        if not packet:
            raise ProxyRequestError(self._last_words("it ended unexpectedly"))
        if flags & socket.MSG_TRUNC:
            raise ProxyRequestError("its answer is longer than 1 MiB")
        reply = json.loads(packet)
        if not reply["success"]:
            for fd in descriptors:
                os.close(fd)
            raise ProxyRequestError(reply["error"])
        return ProxyReply(reply["value"], reply["pipeid"], tuple(descriptors))

    def request(self, method: str, *args: object) -> ProxyReply:
        """Send a request and take its reply."""
        self.send(method, *args)
        return self.receive()

    def fetch(self, method: str, *args: object) -> tuple[Any, bytes]:
        """Make a request that answers with a small document in a pipe; return value and bytes."""
        reply = self.request(method, *args)
        (fd,) = reply.fds
        self.send("FinishPipe", reply.pipe_id)  # else the data would never end
        with open(fd, "rb") as pipe:  # noqa: PTH123 - a descriptor
            document = pipe.read(_LARGEST_DOCUMENT_BYTES + 1)
        if len(document) > _LARGEST_DOCUMENT_BYTES:
            raise ImageContentError(
                f"the image's manifest or configuration is larger than {_LARGEST_DOCUMENT_BYTES:,} "
                "bytes"
            )
        self.receive()
        return reply.value, document

    def _last_words(self, otherwise: str) -> str:
        """Return the end of what skopeo wrote to its stderr, or `otherwise`."""
        end(self._process, patience_s=_PATIENCE_S)
        self._stderr.seek(0)
        return tail(self._stderr.read().decode(errors="replace")) or otherwise


def _parse_version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("-", maxsplit=1)[0].split("."))
