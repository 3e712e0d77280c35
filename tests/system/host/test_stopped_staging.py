"""A command that is stopped while libostree stages, which it does to the end."""

import signal
from pathlib import Path

import pytest

from tests.system.support.booted_host import BootedHost
from tests.system.support.installed_host import answer, digests
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, write_image

pytestmark = IN_CONTAINER


@pytest.mark.parametrize(
    ("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_a_signal_while_staging_leaves_nothing_staged(
    host: BootedHost, layout: Path, signum: signal.Signals, status: int
) -> None:
    second = write_image(layout, [BASE, {"usr/new": "x"}], version="2")
    before = host.status()
    # libostree calls it while it stages, and returns only when it is done.
    host.fake_program("systemctl", then=f"kill -{signum.value} $PPID")
    finished = host.bootc("upgrade", "--quiet")
    assert (finished.returncode, finished.stdout) == (status, "")
    assert finished.stderr == f"bootcpy: stopped by {signum.name}\n"
    after = host.status()
    assert after["status"]["staged"] is None
    assert after["status"]["rollback"] == before["status"]["rollback"]
    assert not (host.root / "ostree/bootc/staged.json").exists()
    assert not (host.run_directory / "reboot-required").exists()

    host.fake_program("systemctl")
    answer(host, "upgrade")
    assert digests(host)["staged"] == second
    host.reboot()
    assert digests(host)["booted"] == second
