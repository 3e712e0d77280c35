"""Marks of several test modules; apart from what benchmarks use, which have no pytest."""

import os
from pathlib import Path

import pytest

MAY_MOUNT = os.geteuid() == 0 and Path("/run/.containerenv").exists()
IN_CONTAINER = pytest.mark.skipif(
    not MAY_MOUNT,
    reason="mounts over /sysroot, /boot and /run: runs as root in a container of the image",
)
