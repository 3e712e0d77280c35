"""A container registry of the tests' own: Debian's docker-registry on a free loopback port.

A guest on QEMU's user network reaches it as 10.0.2.2 at the same port.
"""

import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bootcpy.errors import BootcpyError
from tools import qemu
from tools.installed_disk import FOLLOWED_REGISTRY

REGISTRY = "docker-registry"
HOST_SEEN_BY_GUESTS = "10.0.2.2"
_START_TIMEOUT_S = 20
_REQUEST = re.compile(r'"(?P<method>[A-Z]+) (?P<path>/v2/\S*) HTTP/[0-9.]+" (?P<status>\d+)')


class Registry:
    """A registry that can be stopped and started again with what it holds."""

    def __init__(self, directory: Path) -> None:
        """Describe a registry that is off and keeps its blobs and its log in `directory`."""
        self.port = qemu.free_port()
        self.log = directory / "registry.log"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def here(self, name: str) -> str:
        """Return how this machine names the image `name`."""
        return f"127.0.0.1:{self.port}/{name}"

    def from_guest(self, name: str) -> str:
        """Return how a guest names the image `name`."""
        return f"{HOST_SEEN_BY_GUESTS}:{self.port}/{name}"

    @property
    def guest_configuration(self) -> str:
        """What a guest's /etc/containers/registries.conf.d must say, see below."""
        return guest_configuration(self.port)

    def start(self) -> None:
        """Start serving; returns when it answers.

        Raises:
            BootcpyError: docker-registry is not installed, or does not start.
        """
        # JSON is YAML, and needs no library to write.
        configuration = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {
                "filesystem": {"rootdirectory": str(self._directory / "blobs")},
                "delete": {"enabled": True},
            },
            "http": {"addr": f"127.0.0.1:{self.port}"},
        }
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / "registry.yml"
        path.write_text(json.dumps(configuration), encoding="utf-8")
        with self.log.open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    [REGISTRY, "serve", str(path)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    preexec_fn=qemu.die_with_parent,  # noqa: PLW1509 - no threads here
                )
            except FileNotFoundError as e:
                hint = f"apt-get install {REGISTRY}"
                raise BootcpyError(f"{REGISTRY} is not installed", hint=hint) from e
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v2/", timeout=5):
                    return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        said = self.log.read_text(encoding="utf-8", errors="replace")[-1000:]
        self.stop()
        raise BootcpyError(f"{REGISTRY} does not start: {said}")

    def stop(self) -> None:
        """Stop at once, in the middle of whatever is being sent. Harmless when stopped."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def requests(self) -> list[tuple[str, str, int]]:
        """Return method, path and status of every request so far, oldest first."""
        log = self.log.read_text(encoding="utf-8", errors="replace")
        return [(m["method"], m["path"], int(m["status"])) for m in _REQUEST.finditer(log)]


def guest_configuration(port: int) -> str:
    """Return what tells a guest that the registry, or a relay to it, at `port` has no TLS.

    It also says that this is the registry which an installed disk follows.
    """
    here = f'location = "{HOST_SEEN_BY_GUESTS}:{port}"\ninsecure = true\n'
    return f'[[registry]]\n{here}[[registry]]\nprefix = "{FOLLOWED_REGISTRY}"\n{here}'


@contextmanager
def serving(directory: Path) -> Iterator[Registry]:
    """Yield a registry that runs; it ends with the block."""
    registry = Registry(directory)
    registry.start()
    try:
        yield registry
    finally:
        registry.stop()
