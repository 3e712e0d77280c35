"""A host whose file system is frozen for a moment, as by a backup or a snapshot."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.support.booted_host import BootedHost
from tests.system.support.marks import IN_CONTAINER

pytestmark = IN_CONTAINER


@pytest.fixture
def host(tmp_path: Path) -> Iterator[BootedHost]:
    """A host whose physical root is a file system of its own."""
    host = BootedHost.make(tmp_path)
    host.deploy(host.commit(), "[origin]\nrefspec=x:y\n")
    image, first = tmp_path / "disk", tmp_path / "first"
    with image.open("wb") as file:
        file.truncate(128 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    first.mkdir()
    for command in (
        ("mount", "-o", "loop", image, first),
        ("cp", "-a", f"{host.root}/.", first),
        ("mount", "--move", first, host.root),
    ):
        subprocess.run(command, check=True)
    host.boot()
    yield host
    subprocess.run(["umount", host.root], check=True)
    host.release()


def test_a_change_waits_until_the_file_system_can_be_written(host: BootedHost) -> None:
    subprocess.run(["fsfreeze", "--freeze", host.root], check=True)
    try:
        change = subprocess.Popen(
            host.command("python3", "-m", "bootcpy", "rollback"),
            env=host.environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(3)
        assert change.poll() is None
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", host.root], check=True)
    _, stderr = change.communicate(timeout=60)
    assert "error: No rollback available\n" in stderr
