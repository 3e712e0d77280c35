"""What `install to-disk` refuses: one line, a hint, status 1, and not a byte written."""

import fcntl
import os
import struct
import subprocess
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bootcpy.model.base.size import MIB
from tests.layers import (
    file,
)
from tests.system.support.disks import (
    attached,
    fingerprint,
    install,
    install_argv,
    mounted,
    new_disk_file,
    require_refused,
    small_system,
    tool,
    with_partition,
    words_for,
)
from tests.system.support.oci_images import LayerBlob, OciDirectory

_LIST = "`lsblk` lists the disks of this machine"
_OTHER = ", or choose another disk"
_FIND = f"find it with `lsof` or `fuser -v`{_OTHER}"
_DEACTIVATE = f"deactivate it (LVM, RAID, ...){_OTHER}"
_WIPE = "add --wipe to destroy everything on it"
_OTHER_MEDIA = "choose another disk; to replace the running system, boot from other media"
_KNOWN_KEYS = (
    "known are: root-fs-type, filesystem.root.type, block, kargs, karg-deletes, "
    "match-architectures, stateroot, root-mount-spec, boot-mount-spec, bootloader, "
    "discoverable-partitions, enforce-container-sigpolicy, ostree.bls-append-except-default, "
    "bootupd.skip-boot-uuid"
)
_TRANSPORTS = (
    "use one of: registry, oci, oci-archive, docker-archive, docker-daemon, containers-storage, "
    "dir, docker"
)


@pytest.fixture
def disk(disk_file: Path) -> Generator[Path]:
    with attached(disk_file) as device:
        yield device


def test_no_such_device(image: str, tmp_path: Path) -> None:
    missing = tmp_path / "sdz"
    require_refused(install(*words_for(image, missing)), f"there is no device {missing}", _LIST)


def test_no_such_disk_file(image: str, tmp_path: Path) -> None:
    missing = tmp_path / "disk.img"
    done = install(*words_for(image, missing, "--via-loopback"))
    require_refused(
        done, f"there is no file {missing}", f"make one: `truncate --size=10G {missing}`"
    )


def test_disk_file_without_via_loopback(image: str, disk_file: Path) -> None:
    done = install(*words_for(image, disk_file))
    require_refused(
        done,
        f"{disk_file} is not a block device",
        "to install onto a disk file, add --via-loopback",
    )
    assert disk_file.stat().st_blocks == 0


@pytest.mark.parametrize("device", ["/dev/null", "/dev"])
def test_what_is_no_disk(image: str, device: str) -> None:
    done = install(*words_for(image, Path(device)))
    require_refused(done, f"{device} is not a block device", _LIST)


def test_device_with_via_loopback(image: str, disk: Path) -> None:
    done = install(*words_for(image, disk, "--via-loopback"))
    require_refused(
        done, f"{disk} is not a regular file", "leave out --via-loopback to install onto a device"
    )


def test_partition(image: str, disk_file: Path) -> None:
    with with_partition(disk_file) as (disk, partition):
        done = install(*words_for(image, partition, "--wipe"))
    require_refused(done, f"{partition} is a partition, not a disk", f"give the whole disk: {disk}")


def test_mounted_disk(image: str, disk: Path, tmp_path: Path) -> None:
    tool("mkfs.ext4", "-q", disk)
    with mounted(disk, tmp_path / "mnt"):
        before = fingerprint(disk)
        done = install(*words_for(image, disk, "--wipe"))
        require_refused(
            done, f"{disk} is mounted at {tmp_path}/mnt", f"`umount {tmp_path}/mnt`{_OTHER}"
        )
        assert fingerprint(disk) == before


def test_mounted_partition(image: str, disk_file: Path, tmp_path: Path) -> None:
    with with_partition(disk_file) as (disk, partition):
        tool("mkfs.btrfs", "-q", partition)
        with mounted(partition, tmp_path / "mnt") as where:
            done = install(*words_for(image, disk, "--wipe"))
    require_refused(
        done, f"{disk} is in use: {partition} is mounted at {where}", f"`umount {where}`{_OTHER}"
    )


def test_mounted_in_another_namespace(image: str, disk: Path, tmp_path: Path) -> None:
    tool("mkfs.ext4", "-q", disk)
    mount_and_wait = 'mount "$0" "$1" && echo mounted && read -r _'
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", mount_and_wait, disk, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"mounted\n"
        done = install(*words_for(image, disk, "--wipe"))
        other.communicate(b"\n")
    require_refused(done, f"{disk} is in use by another program or container", _FIND)


def test_swap(image: str, disk: Path) -> None:
    tool("mkswap", "-q", disk)
    tool("swapon", disk)
    try:
        done = install(*words_for(image, disk, "--wipe"))
    finally:
        tool("swapoff", disk)
    require_refused(done, f"{disk} is in use: {disk} is swap space", f"`swapoff {disk}`{_OTHER}")


def test_held_by_another_device(image: str, disk: Path) -> None:
    with attached(disk) as holder:
        done = install(*words_for(image, disk, "--wipe"))
        require_refused(
            done, f"{disk} is in use: it is part of {holder.name} (loop device)", _DEACTIVATE
        )


def test_disk_file_attached_elsewhere(image: str, disk_file: Path, disk: Path) -> None:
    done = install(*words_for(image, disk_file, "--via-loopback"))
    require_refused(done, f"part of {disk.name} (loop device)", _DEACTIVATE)


def test_disk_file_of_a_running_machine(image: str, disk_file: Path) -> None:
    with disk_file.open("r+b") as opened:
        # As QEMU does with its images: an open file description lock on some bytes.
        lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 100, 1, 0)
        fcntl.fcntl(opened, fcntl.F_OFD_SETLK, lock)
        done = install(*words_for(image, disk_file, "--via-loopback"))
    require_refused(done, f"{disk_file} is in use by another program", _FIND)


def test_disk_that_changes_while_an_installation_waits_for_it(image: str, disk: Path) -> None:
    """Whatever happened since the plan was made is seen under the lock, even with --wipe."""
    before = fingerprint(disk)
    with disk.open("rb+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with subprocess.Popen(
            install_argv(*words_for(image, disk, "--wipe")), stderr=subprocess.PIPE, text=True
        ) as waiting:
            assert waiting.stderr is not None
            for line in waiting.stderr:
                if line.startswith("Digest: "):  # the last words before the lock
                    break
            tool("mkfs.ext4", "-q", disk)
            changed = fingerprint(disk)
            fcntl.flock(other, fcntl.LOCK_UN)
            rest = waiting.stderr.read()
    done = subprocess.CompletedProcess(waiting.args, waiting.returncode, "", rest)
    require_refused(
        done,
        f"{disk} has changed since it was checked",
        "find the program that uses it, then run the command again",
    )
    assert fingerprint(disk) == changed != before


def test_disk_that_others_keep_locked(image: str, disk_file: Path) -> None:
    with disk_file.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        done = install(*words_for(image, disk_file, "--via-loopback"))
    require_refused(
        done,
        f"{disk_file} is locked by another program",
        "find it with `lslocks`, and wait for it to finish",
    )
    assert disk_file.stat().st_blocks == 0


def test_read_only_disk(image: str, disk_file: Path) -> None:
    with attached(disk_file, "--read-only") as disk:
        require_refused(
            install(*words_for(image, disk)),
            f"{disk} is read-only",
            "run `blockdev --setrw`, or choose another disk",
        )


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (("mkfs.ext4", "-q", "-L", "photos"), "ext4 data labelled 'photos'"),
        (("mkfs.xfs", "-q"), "xfs data"),
        (("mkswap", "-q"), "swap data"),
    ],
    ids=["ext4", "xfs", "swap"],
)
def test_not_empty_names_what_is_on_it(
    image: str, disk: Path, make: tuple[str, ...], what: str
) -> None:
    tool(*make, disk)
    before = fingerprint(disk)
    done = install(*words_for(image, disk))
    require_refused(done, f"{disk} is not empty: it has {what}", _WIPE)
    assert fingerprint(disk) == before


def test_not_empty_names_partitions(image: str, disk_file: Path) -> None:
    tool("sfdisk", "-q", disk_file, stdin="label: gpt\nsize=100MiB, name=data\nsize=1GiB\n")
    done = install(*words_for(image, disk_file, "--via-loopback"))
    require_refused(
        done,
        "a gpt partition table with 2 partitions: data 100 MiB; unnamed 1 GiB",
        _WIPE,
    )


def _at_least(size_mib: int) -> str:
    return f"use a disk of at least {size_mib}M"


def test_too_small(image: str, tmp_path: Path) -> None:
    small = new_disk_file(tmp_path / "small.img", 600 * MIB)
    done = install(*words_for(image, small, "--via-loopback"))
    require_refused(
        done, f"{small} is too small: it has 600 MiB, 1 GiB are needed", _at_least(1028)
    )
    assert small.stat().st_blocks == 0


def test_root_size_beyond_the_disk(image: str, disk_file: Path) -> None:
    done = install(*words_for(image, disk_file, "--via-loopback", "--root-size", "3G"))
    require_refused(done, "is too small: it has 2 GiB, 3.5 GiB are needed", _at_least(3587))


def test_too_small_for_an_image_that_is_packed_well(tmp_path: Path) -> None:
    zeros = LayerBlob.of(*(file(f"usr/share/{index}", bytes(8 * MIB)) for index in range(200)))
    assert len(zeros.blob) < 16 * MIB
    image = str(OciDirectory(tmp_path / "oci").add_image([small_system(), zeros]))
    small = new_disk_file(tmp_path / "disk.img")
    done = install(*words_for(image, small, "--via-loopback"))
    require_refused(done, f"{small} is too small: it has 2 GiB", _at_least(3028))
    assert "1.6 GiB for the unpacked image" in done.stderr
    assert small.stat().st_blocks == 0


def test_disk_file_on_a_full_file_system(image: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        full = tmp_path / "full"
        full.mkdir()
        tool("mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", full)
        stack.callback(tool, "umount", full)
        sparse = new_disk_file(full / "disk.img")
        done = install(*words_for(image, sparse, "--via-loopback"))
    require_refused(
        done,
        "has too little free space: 100 MiB are available",
        "free some space there, or put the disk file elsewhere",
    )


def test_disk_the_host_runs_from(image: str) -> None:
    source = tool("findmnt", "--task", "1", "--noheadings", "--output", "SOURCE", "/").strip()
    if not Path(source).is_block_device():
        pytest.skip(f"the host's root is not on a disk but on {source}")
    # Never without --dry-run: a bug here must not cost the machine its system.
    done = install(*words_for(image, Path(source), "--dry-run", "--wipe"))
    if "is a partition" not in done.stderr:
        require_refused(done, f"{source} is the disk the host runs from", _OTHER_MEDIA)


@pytest.mark.parametrize(
    ("prefix", "message", "hint"),
    [
        (
            ("setpriv", "--reuid=65534", "--clear-groups"),
            "must be root",
            "start podman itself as root: `sudo podman run ...`",
        ),
        (
            ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all"),
            "needs full privileges (CAP_SYS_ADMIN)",
            "add --privileged to `podman run`",
        ),
        (
            ("unshare", "--pid", "--fork"),
            "a process namespace of its own",
            "add --pid=host to `podman run`",
        ),
    ],
    ids=["not-root", "not-privileged", "own-pid-namespace"],
)
def test_rights(disk_file: Path, prefix: tuple[str, ...], message: str, hint: str) -> None:
    done = install("--via-loopback", disk_file, prefix=prefix)
    require_refused(done, message, hint)


@pytest.mark.parametrize(
    ("words", "message", "hint", "status"),
    [
        (("--composefs-backend",), "--composefs-backend is not supported yet", "leave it out", 1),
        (("--uki-addon=x",), "--uki-addon is not supported yet", "leave it out", 1),
        (
            ("--block-setup=tpm2-luks",),
            "tpm2-luks is not enabled in the install configuration",
            "enabled there: direct",
            1,
        ),
        (
            ("--bootloader=systemd",),
            "systemd",
            "use --bootloader grub, or --bootloader none to install your own",
            2,
        ),
        (
            ("--root-size=10x",),
            "'10x' is not a size",
            "write a whole number of MiB, or add a unit: M, MiB, G, GiB, T, TiB",
            2,
        ),
        (
            ('--karg=a="b',),
            "has a quotation mark that is not closed",
            "write it as key or key=value",
            2,
        ),
        (("--json",), "--json prints a plan and needs --dry-run", "add --dry-run", 2),
        (("--source-imgref=floppy:a",), "unknown transport 'floppy'", _TRANSPORTS, 1),
        (
            ("--root-ssh-authorized-keys=/nowhere",),
            "authorized keys /nowhere",
            "in a container, mount the file into it: podman run -v FILE:/keys:ro",
            1,
        ),
        (
            ("--source-imgref=oci-archive:/nowhere.tar",),
            "/nowhere.tar",
            "check the path, and whether its disk is mounted",
            1,
        ),
        (
            ("--source-imgref=docker://127.0.0.1:1/os:1",),
            "127.0.0.1:1",
            "check the network and the registry's name, and try again",
            1,
        ),
        (
            ("--stateroot=a b",),
            "'a b' cannot be a stateroot",
            "use letters, digits, `.`, `-` and `_`",
            1,
        ),
        (
            ("--target-imgref=docker://a/b",),
            "docker://a/b names a transport",
            "write it as a/b; --target-transport is for the transport",
            1,
        ),
        (("--karg=a=\udcff",), "is not UTF-8", "write it as key or key=value", 2),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_requests(
    image: str,
    disk_file: Path,
    words: tuple[str, ...],
    message: str,
    hint: str,
    status: int,
) -> None:
    done = install(*words_for(image, disk_file, "--via-loopback", *words))
    require_refused(done, message, hint, status)
    assert disk_file.stat().st_blocks == 0


def test_no_filesystem_type(image: str, disk_file: Path) -> None:
    # The image under test sets one, so its configuration is masked first.
    masks = [Path("/run/bootc/install", name.name) for name in _install_configuration()]
    Path("/run/bootc/install").mkdir(parents=True, exist_ok=True)
    for mask in masks:
        mask.symlink_to("/dev/null")
    try:
        done = install("--source-imgref", image, "--via-loopback", disk_file)
    finally:
        for mask in masks:
            mask.unlink()
    require_refused(
        done, "no install configuration found", "add --filesystem with one of: xfs, ext4, btrfs"
    )


def _install_configuration() -> list[Path]:
    return sorted(Path("/usr/lib/bootc/install").glob("*.toml"))


def test_malformed_configuration(image: str, disk_file: Path) -> None:
    drop_in = Path("/run/bootc/install/99-test.toml")
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text("[install]\nroot-fs = 'ext4'\n", encoding="utf-8")
    try:
        done = install(*words_for(image, disk_file, "--via-loopback"))
    finally:
        drop_in.unlink()
    require_refused(done, f"{drop_in}:2: unknown key 'install.root-fs'", _KNOWN_KEYS)


def test_names_on_a_disk_stay_on_their_line(image: str, disk: Path) -> None:
    table = 'label: gpt\nsize=1MiB, name="\x1b[2J\u202e\x9b1A"\nsize=1MiB, name="b\'"\n'
    subprocess.run(["sfdisk", "--quiet", disk], input=table, text=True, check=True)
    done = install(*words_for(image, disk))
    named = r"\x1b[2J\u202e\x9b1A 1 MiB; b' 1 MiB"
    what = f"a gpt partition table with 2 partitions: {named}"
    require_refused(done, f"{disk} is not empty: it has {what}", _WIPE)
    assert done.stderr.replace("\n", "").isprintable()
