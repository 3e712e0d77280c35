import re

import pytest

from bootcpy.errors import TargetError
from bootcpy.model.base.size import GIB
from bootcpy.model.install.layout import DiskFacts
from bootcpy.model.install.target import UNFINISHED, TargetState, require_usable
from tests.refusals import refused

EMPTY = DiskFacts(path="/dev/vdb", size_bytes=10 * GIB)
FULL = DiskFacts(path="/dev/vdb", size_bytes=10 * GIB, contents=("ext4 data labelled 'x'", "more"))


@pytest.mark.parametrize("wipe", [False, True])
def test_require_usable_accepts_an_empty_idle_disk(wipe: bool) -> None:  # noqa: FBT001 - a case
    require_usable(TargetState(disk=EMPTY), wipe=wipe)


@pytest.mark.parametrize(
    ("state", "message", "hint"),
    [
        (
            TargetState(disk=EMPTY, parent="/dev/vd"),
            "/dev/vdb is a partition, not a disk",
            "give the whole disk: /dev/vd",
        ),
        (
            TargetState(disk=EMPTY, runs_host=True, mounts=(("/dev/vdb1", "/"),)),
            "/dev/vdb is the disk the host runs from",
            "choose another disk; to replace the running system, boot from other media",
        ),
        (
            TargetState(disk=EMPTY, mounts=(("/dev/vdb1", "/srv"),)),
            "/dev/vdb is in use: /dev/vdb1 is mounted at /srv",
            "`umount /srv`, or choose another disk",
        ),
        (
            TargetState(disk=EMPTY, mounts=(("/dev/vdb", "/srv"),)),
            "/dev/vdb is mounted at /srv",
            "`umount /srv`, or choose another disk",
        ),
        (
            TargetState(disk=EMPTY, swaps=("/dev/vdb2",)),
            "/dev/vdb is in use: /dev/vdb2 is swap space",
            "`swapoff /dev/vdb2`, or choose another disk",
        ),
        (
            TargetState(disk=EMPTY, holders=("vg-root (LVM)", "md0 (RAID)")),
            "/dev/vdb is in use: it is part of vg-root (LVM), md0 (RAID)",
            "deactivate it (LVM, RAID, ...), or choose another disk",
        ),
        (
            TargetState(disk=EMPTY, busy=True),
            "/dev/vdb is in use by another program or container",
            "find it with `lsof` or `fuser -v`, or choose another disk",
        ),
        (
            TargetState(disk=EMPTY, read_only=True),
            "/dev/vdb is read-only",
            "run `blockdev --setrw`, or choose another disk",
        ),
        (
            TargetState(disk=DiskFacts(path="/dev/sr0", size_bytes=0)),
            "/dev/sr0 has no medium: its size is 0",
            "choose another disk",
        ),
    ],
)
@pytest.mark.parametrize("wipe", [False, True])
def test_require_usable_refuses_even_with_wipe(
    state: TargetState,
    message: str,
    hint: str,
    wipe: bool,  # noqa: FBT001 - a case
) -> None:
    with refused(TargetError, f"^{re.escape(message)}$", hint=hint):
        require_usable(state, wipe=wipe)


def test_require_usable_names_what_would_be_destroyed() -> None:
    with refused(TargetError, hint="add --wipe to destroy everything on it") as caught:
        require_usable(TargetState(disk=FULL), wipe=False)
    assert caught.value.message == "/dev/vdb is not empty: it has ext4 data labelled 'x', more"


def test_require_usable_lets_an_unfinished_installation_be_repeated() -> None:
    disk = DiskFacts(path="/dev/vdb", size_bytes=10 * GIB, contents=(UNFINISHED,))
    require_usable(TargetState(disk=disk), wipe=False)


def test_require_usable_obeys_wipe() -> None:
    require_usable(TargetState(disk=FULL), wipe=True)
