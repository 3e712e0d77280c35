"""A registry that serves one OCI layout, counts what is asked of it, and fails when told to."""

import hashlib
import json
import ssl
import threading
from base64 import b64encode
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class FaultyRegistry:
    """Serves the image in `layout` as `NAME`, whatever tag is asked for."""

    def __init__(self, layout: Path, port: int) -> None:
        """Describe what is served at `port` of the loopback interface."""
        self.layout = layout
        self.name = f"127.0.0.1:{port}/os:latest"
        self.configuration = f'[[registry]]\nlocation = "127.0.0.1:{port}"\ninsecure = true\n'
        self.requested: list[str] = []  # digests of blobs, and "manifest"
        self.broken: str | None = None  # a blob that ends in the middle, after which all fails
        self.down = False
        self.stalled: str | None = None  # a blob of which the second half comes when told to
        self.silent: str | None = None  # a digest or "manifest"; who asks for it gets no answer
        self.trickling: str | None = None  # a blob that comes with ten bytes in a second
        self.credentials: str | None = None  # USER:PASSWORD, without which nothing is served
        self.half_sent, self.go_on = threading.Event(), threading.Event()

    def refusal(self, authorization: str | None) -> int:
        """Return the status that a request with this header is refused with; 0 if it is not."""
        if self.down:
            return 503
        if self.credentials is None:
            return 0
        wanted = f"Basic {b64encode(self.credentials.encode()).decode()}"
        return 0 if authorization == wanted else 401

    def note(self, wanted: str) -> None:
        """Note what was asked for; returns when it may be answered."""
        self.requested.append(wanted)
        if wanted == self.silent:
            self.go_on.wait()

    def parts(self, body: bytes, digest: str | None) -> Iterator[bytes]:
        """Yield a body as it is to be sent: if it is a blob's, perhaps slowly or in part."""
        half = len(body) // 2
        if digest is None:
            yield body
        elif digest == self.broken:
            self.down = True
            yield body[:half]
        elif digest == self.stalled:
            yield body[:half]
            self.half_sent.set()
            self.go_on.wait()
            yield body[half:]
        elif digest == self.trickling:
            for octet in body:
                yield bytes([octet])
                if self.go_on.wait(0.1):
                    return
        else:
            yield body

    def manifest(self) -> bytes:
        """Return the manifest that the layout's index names."""
        index = json.loads((self.layout / "index.json").read_text(encoding="utf-8"))
        return self.blob(index["manifests"][0]["digest"])

    def blob(self, digest: str) -> bytes:
        """Return a blob of the layout."""
        return (self.layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_arguments: object) -> None:
        """Keep quiet about clients that go away; some are killed on purpose."""

    def use_tls(self, certificate: Path | None) -> None:
        """Serve with the certificate and key in a file, if there is one."""
        if certificate is None:
            return
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
        self.socket = tls.wrap_socket(self.socket, server_side=True)


@contextmanager
def serving(layout: Path, *, certificate: Path | None = None) -> Generator[FaultyRegistry]:
    """Serve `layout` on a free port until the context ends.

    With TLS, if `certificate` is a file with a certificate and its key.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if refused := registry.refusal(self.headers.get("Authorization")):
                self.send_response(refused)
                self.send_header("WWW-Authenticate", 'Basic realm="test"')
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif "/manifests/" in self.path:
                registry.note("manifest")
                self._answer(registry.manifest(), "application/vnd.oci.image.manifest.v1+json")
            elif "/blobs/" in self.path:
                digest = self.path.rpartition("/")[2]
                registry.note(digest)
                self._answer(registry.blob(digest), "application/octet-stream", digest)
            else:
                self._answer(b"{}", "application/json")

        do_HEAD = do_GET  # noqa: N815 - http.server's name

        def _answer(self, body: bytes, media_type: str, digest: str | None = None) -> None:
            self.send_response(200)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            own = f"sha256:{hashlib.sha256(body).hexdigest()}"
            self.send_header("Docker-Content-Digest", own)
            self.end_headers()
            if self.command == "HEAD":
                return
            with suppress(ConnectionError):  # whoever asked may be gone
                for part in registry.parts(body, digest):
                    self.wfile.write(part)
                    self.wfile.flush()
            if digest is not None and digest == registry.broken:
                self.close_connection = True

        def log_message(self, *_arguments: object) -> None:
            """Keep pytest's output short."""

    server = _Server(("127.0.0.1", 0), Handler)
    server.use_tls(certificate)
    registry = FaultyRegistry(layout, server.server_port)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield registry
    finally:
        registry.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()
