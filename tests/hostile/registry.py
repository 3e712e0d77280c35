"""A registry whose every answer is the row's to decide."""

import hashlib
import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.hostile.images import MANIFEST


@dataclass
class Answer:
    """What is sent: a status, headers, a body; and how the body is cut or delayed."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    claimed: int | None = None  # Content-Length, when it is not the body's
    chunked: bytes | None = None  # the body as it goes over the wire, for Transfer-Encoding
    stalls: bool = False  # after the body, until the row is over


# Given the path that was asked for and what would be right, it returns what is sent.
Answering = Callable[[str, Answer], Answer]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_arguments: object) -> None:
        """Keep quiet about clients that go away."""


@contextmanager
def answering(layout: Path, answer: Answering) -> Generator[int]:
    """Serve the image in `layout` by any name, changed by `answer`; yield the port."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(answer(self.path, _right(layout, self.path)))

        do_HEAD = do_POST = do_GET  # noqa: N815 - http.server's names

        def _send(self, sent: Answer) -> None:
            self.send_response(sent.status)
            for name, value in sent.headers.items():
                self.send_header(name, value)
            if sent.chunked is not None:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                length = len(sent.body) if sent.claimed is None else sent.claimed
                self.send_header("Content-Length", str(length))
            self.end_headers()
            with suppress(OSError):  # whoever asked may be gone
                if self.command != "HEAD":
                    self.wfile.write(sent.body if sent.chunked is None else sent.chunked)
                    self.wfile.flush()
            if sent.stalls:
                over.wait()
            if sent.claimed is not None or sent.chunked is not None:
                self.close_connection = True

        def log_message(self, *_arguments: object) -> None:
            """Keep pytest's output short."""

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _right(layout: Path, path: str) -> Answer:
    """Return what an honest registry answers."""
    if "/manifests/" in path:
        index = json.loads((layout / "index.json").read_bytes())
        body = _blob(layout, index["manifests"][0]["digest"])
        kind = MANIFEST
    elif "/blobs/" in path:
        body, kind = _blob(layout, path.rpartition("/")[2]), "application/octet-stream"
    else:
        return Answer(body=b"{}", headers={"Content-Type": "application/json"})
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    return Answer(body=body, headers={"Content-Type": kind, "Docker-Content-Digest": digest})


def _blob(layout: Path, digest: str) -> bytes:
    return (layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()
