from pathlib import Path

from bootcpy.system.files.mount import Mount, parse_mountinfo

# The second line has optional fields and escapes, the third none of either.
MOUNTINFO = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
36 35 98:0 /mnt1 /mnt/a\\040b rw,noatime master:1 shared:2 - xfs /dev/disk\\134x rw,errors=continue
40 27 0:35 /sub /home rw - btrfs /dev/vdb3 rw,subvol=/sub
"""


def test_parse_mountinfo_reads_device_place_and_source() -> None:
    assert parse_mountinfo(MOUNTINFO) == (
        Mount(device="254:0", mount_point=Path("/"), filesystem="ext4", source="/dev/vda"),
        Mount(device="98:0", mount_point=Path("/mnt/a b"), filesystem="xfs", source="/dev/disk\\x"),
        Mount(device="0:35", mount_point=Path("/home"), filesystem="btrfs", source="/dev/vdb3"),
    )


def test_parse_mountinfo_of_nothing_is_nothing() -> None:
    assert parse_mountinfo("") == ()
