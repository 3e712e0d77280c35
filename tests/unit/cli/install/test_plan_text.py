from dataclasses import replace

import pytest

from bootcpy.cli.install.plan_text import render_plan, share_cells
from bootcpy.model.base.size import GIB, MIB, TIB
from bootcpy.model.install.layout import DiskFacts
from bootcpy.model.install.target import TargetState
from tests.unit.model.install.plans import a_plan, a_request, some_settings

PICTURE = """\
Disk     /dev/vdb  (10 GiB, Fast SSD, S1)
         empty
Image    containers-storage:localhost/os:latest (version 13.1)
Digest   sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
Contents 900 MiB unpacked, 2 layers
Follows  ostree-unverified-registry:localhost/os:latest
State    default
Boot     grub (with a firmware entry)
Kernel   root=UUID={root} rw image=1

┌───────────┬──────────────┬───────────────────────────────────────────────────┐
│ BIOS-BOOT │  EFI-SYSTEM  │                       root                        │
│   1 MiB   │   512 MiB    │                      9.5 GiB                      │
└───────────┴──────────────┴───────────────────────────────────────────────────┘

#  Name        Type          Start     Size  Content
1  BIOS-BOOT   BIOS boot     1 MiB    1 MiB  GRUB core image
2  EFI-SYSTEM  EFI system    2 MiB  512 MiB  vfat file system
3  root        Linux root  514 MiB  9.5 GiB  ext4 file system

Nothing has been written.
"""


def test_render_plan_draws_the_whole_picture() -> None:
    disk = DiskFacts(path="/dev/vdb", size_bytes=10 * GIB, model="Fast SSD", serial="S1")
    plan = a_plan(target=TargetState(disk=disk))
    assert render_plan(plan) == PICTURE.format(root=plan.layout.root.filesystem_id)


def test_render_plan_says_what_is_destroyed() -> None:
    disk = DiskFacts(path="/dev/vdb", size_bytes=10 * GIB, contents=("LVM2_member data", "more"))
    text = render_plan(a_plan(some_settings(a_request(wipe=True)), target=TargetState(disk=disk)))
    assert "holds LVM2_member data, more\n         all of it will be destroyed" in text


def test_render_plan_stays_in_its_lines_whatever_a_disk_and_an_image_say() -> None:
    disk = DiskFacts(path="/dev/vdb", size_bytes=10 * GIB, model="X\x1b[2K", serial="1\nImage x")
    version = "1\nDigest \u202e" + 90 * "y"
    plan = replace(a_plan(target=TargetState(disk=disk)), image_version=version)
    lines = render_plan(plan).splitlines()
    assert lines[0] == "Disk     /dev/vdb  (10 GiB, X\\x1b[2K, 1\\nImage x)"
    assert lines[2] == "Image    containers-storage:localhost/os:latest (version 1\\nDigest"
    assert lines[3] == "         \\u202e" + 47 * "y" + "…)"
    assert all(line.isprintable() for line in lines)


def test_render_plan_shows_unused_space_and_keys() -> None:
    text = render_plan(
        a_plan(some_settings(a_request(root_size_bytes=4 * GIB), authorized_keys="ssh-rsa A"))
    )
    assert "unused" in text
    assert "5.5 GiB" in text
    assert "ssh-rsa" not in text


@pytest.mark.parametrize("size_bytes", [3 * GIB, 64 * GIB, 20 * TIB])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "ppc64le", "s390x"])
@pytest.mark.parametrize("root_size_bytes", [None, 2 * GIB])
def test_render_plan_bar_is_80_columns_wide(
    size_bytes: int, machine: str, root_size_bytes: int | None
) -> None:
    disk = DiskFacts(path="/dev/vdb", size_bytes=size_bytes)
    request = a_request(root_size_bytes=root_size_bytes)
    settings = some_settings(request, machine=machine)
    text = render_plan(a_plan(settings, target=TargetState(disk=disk)))
    bar = [line for line in text.splitlines() if line and line[0] in "┌│└"]
    assert [len(line) for line in bar] == [80] * 4
    assert max(len(line) for line in text.splitlines()) <= 80


def test_share_cells_gives_all_and_respects_minimums() -> None:
    widths = share_cells([MIB, 512 * MIB, 9 * GIB], [11, 12, 9], 76)
    assert sum(widths) == 76
    assert widths[0] == 11
    assert widths[2] > widths[1] >= 12
