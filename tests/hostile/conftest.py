"""One ground for each process that runs rows."""

from collections.abc import Iterator

import pytest

from tests.system.marks import MAY_MOUNT

pytest.register_assert_rewrite("tests.hostile.ground")

from tests.hostile.ground import Ground, laid_out  # noqa: E402 - its asserts are to explain


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A host that seems booted."""
    if not MAY_MOUNT:
        pytest.skip("mounts over /sysroot, /boot and /run: runs as root in a container")
    with laid_out(tmp_path_factory.mktemp("ground")) as made:
        yield made
