"""Twenty updates, one after the other: nothing is left of those that are over."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.layers import noise
from tests.system.support.booted_host import BootedHost
from tests.system.support.installed_host import installed
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, KERNEL, Node, write_image

pytestmark = IN_CONTAINER

_UPDATES = 20
_SETTLED = 4
_LAYER_BYTES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Amounts:
    """How much there is of what could pile up."""

    used_bytes: int
    objects: int
    refs: int
    deployments: int
    kernels: int
    scratch: int

    @classmethod
    def of(cls, host: BootedHost) -> "_Amounts":
        repo = host.root / "ostree/repo"
        # Directories stay as large as they ever were, and object directories once made.
        files = [each.lstat() for each in host.root.rglob("*") if not each.is_dir()]
        blocks = {status.st_ino: status.st_blocks for status in files}
        scratch = {each.name for each in (repo / "tmp").iterdir()} - {"cache"}
        return cls(
            used_bytes=sum(blocks.values()) * 512,
            objects=sum(1 for each in (repo / "objects").rglob("*") if not each.is_dir()),
            refs=len(host.ostree("refs").split()),
            deployments=len(list(host.root.glob("ostree/deploy/*/deploy/*.[0-9]"))),
            kernels=len(list(host.root.glob("boot/ostree/*"))),
            scratch=sum(1 for name in scratch if not name.endswith("lock")),
        )


def _layer(number: int) -> dict[str, Node]:
    """Return a layer that brings a file, changes one, and has a kernel of its own."""
    return {
        f"usr/share/noise-{number % 2}": noise(number, _LAYER_BYTES),
        "etc/shipped": f"{number}\n",
        f"{KERNEL}/vmlinuz": f"kernel {number:02}",
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("reboots", [False, True])
def test_nothing_is_left_of_updates_that_are_over(tmp_path: Path, *, reboots: bool) -> None:
    layout = tmp_path / "layout"
    write_image(layout, [BASE, _layer(0)])
    with installed(tmp_path, layout, kargs=["root=UUID=x", "rw"]) as host:
        amounts = []
        for number in range(1, _UPDATES + 1):
            digest = write_image(layout, [BASE, _layer(number)], version=f"{number:02}")
            updated = host.bootc("upgrade", "--quiet")
            assert updated.returncode == 0, updated.stderr
            if reboots:
                host.reboot()
            status = host.status()["status"]
            assert status["booted" if reboots else "staged"]["image"]["imageDigest"] == digest
            amounts.append(_Amounts.of(host))

        # The image of the installation is gone by now, and nothing is to become more any more.
        settled = amounts[_SETTLED - 1]
        assert settled.deployments == 2
        assert settled.scratch == 0
        for each in amounts[_SETTLED:]:
            assert replace(each, used_bytes=0) == replace(settled, used_bytes=0)
            assert abs(each.used_bytes - settled.used_bytes) < _LAYER_BYTES
