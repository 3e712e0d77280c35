"""A relay in front of a server, to lose that server in the middle of what it sends.

It is a process of its own, which ends by itself once it has passed on so many bytes of one
connection: what is under way then breaks off, and nobody listens any more.
"""

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bootcpy.errors import BootcpyError
from tools import qemu

_ROOT = Path(__file__).resolve().parent.parent
_LOOPBACK = "127.0.0.1"
_CHUNK_BYTES = 1 << 16


class Relay:
    """Passes connections to its port on to another of this machine."""

    def __init__(self, target_port: int) -> None:
        """Describe a relay that is off."""
        self.port = qemu.free_port()
        self._target_port = target_port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, bytes_until_end: int | None = None) -> None:
        """Relay from now on, until a connection has got so many bytes; returns when it does.

        Raises:
            BootcpyError: it does not start.
        """
        self.stop()
        limit = [] if bytes_until_end is None else [f"--bytes={bytes_until_end}"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.relay", *limit, str(self.port), str(self._target_port)],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            preexec_fn=qemu.die_with_parent,  # noqa: PLW1509 - no threads here
        )
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        if not self._process.stdout.readline():  # it says when it listens
            self.stop()
            raise BootcpyError(f"the relay to port {self._target_port} does not start")

    def has_ended(self, *, within_s: float = 0) -> bool:
        """Tell whether it ended by itself, or does so within a while."""
        if self._process is None:
            return False
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(within_s)
        return self._process.poll() is not None

    def stop(self) -> None:
        """Break off all connections. Harmless when stopped."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@contextmanager
def relaying(target_port: int) -> Iterator[Relay]:
    """Yield a relay that is off; it ends with the block."""
    relay = Relay(target_port)
    try:
        yield relay
    finally:
        relay.stop()


async def _relay(port: int, target_port: int, limit_bytes: int | None) -> None:
    async def handle(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            server, to_server = await asyncio.open_connection(_LOOPBACK, target_port)
            await asyncio.gather(_pump(client, to_server), _pump(server, to_client, limit_bytes))

    serving = await asyncio.start_server(handle, _LOOPBACK, port)
    print("listening", flush=True)
    await serving.serve_forever()


async def _pump(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, limit_bytes: int | None = None
) -> None:
    """Pass on until the source ends; end the process when there were too many bytes."""
    passed_bytes = 0
    with suppress(ConnectionError):
        while chunk := await source.read(_CHUNK_BYTES):
            sink.write(chunk)
            await sink.drain()
            passed_bytes += len(chunk)
            if limit_bytes is not None and passed_bytes >= limit_bytes:
                os._exit(0)
    sink.close()


def main() -> None:
    """Relay between the ports on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, help="end once one connection has got so many")
    parser.add_argument("port", type=int)
    parser.add_argument("target", type=int)
    options = parser.parse_args()
    asyncio.run(_relay(options.port, options.target, options.bytes))


if __name__ == "__main__":
    main()
