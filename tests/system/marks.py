"""Marks of several test modules; apart from what benchmarks use, which have no pytest."""

import os
from pathlib import Path

import pytest

IN_CONTAINER = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/run/.containerenv").exists(),
    reason="mounts over /sysroot, /boot and /run: runs as root in a container of the image",
)
