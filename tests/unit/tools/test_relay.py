import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from tools.relay import relaying

_SENT = bytes(range(256)) * 4096


@pytest.fixture
def server() -> Iterator[int]:
    """The port of a server that sends the same MiB to whoever connects and says something."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            with client:
                client.recv(100)
                try:
                    client.sendall(_SENT)
                except ConnectionError:
                    continue

    thread = threading.Thread(target=serve)
    with closing(listening):
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def _fetch(port: int) -> bytes:
    """Return what the server sends before the connection ends or breaks."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"hello")
        try:
            while chunk := connection.recv(1 << 16):
                received += chunk
        except ConnectionError:
            pass
    return received


def test_a_relay_passes_all_on_until_it_is_told_to_end(server: int) -> None:
    with relaying(server) as relay:
        relay.start()
        assert _fetch(relay.port) == _SENT
        assert not relay.has_ended()

        relay.start(bytes_until_end=300_000)
        received = _fetch(relay.port)
        assert _SENT.startswith(received)
        assert len(received) < len(_SENT)
        assert relay.has_ended(within_s=10)
        with pytest.raises(ConnectionError):
            _fetch(relay.port)

        relay.start()
        assert _fetch(relay.port) == _SENT
    with pytest.raises(ConnectionError):
        _fetch(relay.port)
