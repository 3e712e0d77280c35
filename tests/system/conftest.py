"""Repositories, images and a registry for tests that need real libostree and real skopeo."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.oci_images import OciDirectory
from tools.registry import REGISTRY, Registry, serving

# The only place skopeo looks at besides root's home.
CONFIGURATION = Path("/etc/containers/registries.conf.d/bootcpy-test.conf")


@pytest.fixture
def repo_path(tmp_path: Path) -> Path:
    """An empty bare repository."""
    if os.geteuid() != 0:
        pytest.skip("files of other owners are stored: runs as root in a container of the image")
    return make_repo(tmp_path / "repo")


def make_repo(path: Path) -> Path:
    subprocess.run(["ostree", f"--repo={path}", "init", "--mode=bare"], check=True)
    return path


@pytest.fixture
def oci(tmp_path: Path) -> OciDirectory:
    return OciDirectory(tmp_path / "oci")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A running registry; skopeo accepts that it has no certificate."""
    if shutil.which(REGISTRY) is None:
        pytest.skip(f"needs {REGISTRY}")
    if os.geteuid() != 0 or not Path("/run/.containerenv").exists():
        pytest.skip("configures skopeo: runs as root in a container of the image")
    with serving(tmp_path / "registry") as server:
        CONFIGURATION.parent.mkdir(parents=True, exist_ok=True)
        CONFIGURATION.write_text(
            f'[[registry]]\nlocation = "127.0.0.1:{server.port}"\ninsecure = true\n',
            encoding="utf-8",
        )
        yield server
        CONFIGURATION.unlink()


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Path]:
    """An empty podman storage at its usual place, for this test alone."""
    if os.geteuid() != 0 or not Path("/run/.containerenv").exists():
        pytest.skip("mounts over podman's storage: runs as root in a container of the image")
    place, own = Path("/var/lib/containers"), tmp_path / "containers"
    own.mkdir()
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "--bind", own, place], check=True)
    yield place / "storage"
    subprocess.run(["umount", "--recursive", place], check=True)
