"""Repositories and images for tests that need real libostree and real skopeo."""

import os
import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def repo_path(tmp_path: Path) -> Path:
    """An empty bare repository; it must be sound when the test ends."""
    if os.geteuid() != 0:
        pytest.skip("files of other owners are stored: runs as root in a container of the image")
    path = tmp_path / "repo"
    subprocess.run(["ostree", f"--repo={path}", "init", "--mode=bare"], check=True)
    return path
