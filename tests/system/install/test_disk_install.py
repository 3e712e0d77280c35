"""From an empty disk to a deployed one, and what is left when that is interrupted."""

import json
import re
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from bootcpy.model.base.size import GIB, MIB
from bootcpy.ostree.base.repo import open_repo
from bootcpy.ostree.image.acceptance import read_acceptance
from bootcpy.ostree.image.refs import list_image_refs
from tests.system.support.disks import (
    attached,
    install,
    install_argv,
    leftovers,
    new_disk_file,
    tool,
    wait_for,
    with_partition,
    words_for,
)

ROOT_START_BYTES = 514 * MIB
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}


@pytest.fixture(autouse=True)
def nothing_is_left() -> Generator[None]:
    before = leftovers()
    yield
    wait_for(lambda: leftovers() == before, 30)


def partitions_of(disk: Path) -> list[dict[str, Any]]:
    table: dict[str, Any] = json.loads(tool("sfdisk", "--json", disk))["partitiontable"]
    partitions: list[dict[str, Any]] = table["partitions"]
    return [{"disk": table["id"], **p} for p in partitions]


def probe(disk: Path, offset_bytes: int) -> dict[str, str]:
    text = tool("blkid", "-p", "-o", "export", "--offset", str(offset_bytes), disk)
    return dict(line.split("=", 1) for line in text.splitlines())


def require_installed(disk: Path, mount_point: Path, filesystem: str) -> str:
    """Check partitions, file systems and deployment; return the boot entry's kernel line."""
    names = [p["name"] for p in partitions_of(disk)]
    assert names == ["BIOS-BOOT", "EFI-SYSTEM", "root"]
    esp = probe(disk, 2 * MIB)
    assert (esp["TYPE"], esp["VERSION"], esp["LABEL"]) == ("vfat", "FAT32", "EFI-SYSTEM")
    root = probe(disk, ROOT_START_BYTES)
    assert (root["TYPE"], root["LABEL"]) == (filesystem, "root")
    mount_point.mkdir(exist_ok=True)
    tool("mount", "-o", f"ro,loop,offset={ROOT_START_BYTES}", disk, mount_point)
    try:
        assert mount_point.stat().st_mode & 0o7777 == 0o755
        assert (mount_point / "boot/efi").is_dir()
        aleph = json.loads((mount_point / ".bootc-aleph.json").read_text(encoding="utf-8"))
        assert aleph["version"] == "13.1"
        policy = "insecureAcceptAnything by default in /etc/containers/policy.json"
        assert accepted_by(mount_point) == policy
        (entry,) = (mount_point / "boot/loader/entries").glob("*.conf")
        options = re.search("^options (.*)$", entry.read_text(encoding="utf-8"), re.MULTILINE)
        assert options is not None
        assert f"root=UUID={root['UUID']} rw" in options[1]
        return options[1]
    finally:
        tool("umount", mount_point)


def accepted_by(root: Path) -> str:
    repo = open_repo(root / "ostree/repo")
    (commit,) = list_image_refs(repo).values()
    accepted = read_acceptance(repo, commit)
    assert accepted is not None
    return accepted.words


def require_complete(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "Installation complete!"


@pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs"])
def test_disk_file(image: str, disk_file: Path, tmp_path: Path, filesystem: str) -> None:
    done = install(*words_for(image, disk_file, f"--filesystem={filesystem}", "--via-loopback"))
    require_complete(done)
    require_installed(disk_file, tmp_path / "mnt", filesystem)


def test_loop_device_without_partition_nodes(image: str, disk_file: Path, tmp_path: Path) -> None:
    with attached(disk_file) as disk:
        require_complete(install(*words_for(image, disk)))
    require_installed(disk_file, tmp_path / "mnt", "ext4")


def test_device_with_partition_nodes(image: str, disk_file: Path, tmp_path: Path) -> None:
    """What stood in the partitions before is gone, and the kernel knows the new ones."""
    with with_partition(disk_file) as (disk, partition):
        tool("mkfs.ext4", "-q", "-L", "old", partition)
        require_complete(install(*words_for(image, disk, "--wipe")))
        names = sorted(path.name for path in Path("/sys/block", disk.name).glob(f"{disk.name}p*"))
        assert names == [f"{disk.name}p{number}" for number in (1, 2, 3)]
    require_installed(disk_file, tmp_path / "mnt", "ext4")


def test_large_sectors(image: str, disk_file: Path) -> None:
    with attached(disk_file, "--sector-size", "4096") as disk:
        require_complete(install(*words_for(image, disk)))
        partitions = partitions_of(disk)
    assert [p["start"] * 4096 // MIB for p in partitions] == [1, 2, 514]


def test_kernel_arguments_stand_in_the_documented_order(
    image: str, disk_file: Path, tmp_path: Path
) -> None:
    words = words_for(
        image, disk_file, "--karg=cli=1 quiet", "--karg-delete=gone", "--via-loopback"
    )
    drop_in = Path("/run/bootc/install/99-test.toml")
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text('[install]\nkargs = ["config=1", "gone"]\n', encoding="utf-8")
    try:
        require_complete(install(*words))
    finally:
        drop_in.unlink()
    options = require_installed(disk_file, tmp_path / "mnt", "ext4")
    assert re.fullmatch(
        "root=UUID=[0-9a-f-]+ rw cli=1 quiet config=1 image=1 ostree=/ostree/[^ ]+", options
    )


def test_root_size_and_seed_make_the_same_table_twice(image: str, tmp_path: Path) -> None:
    tables = []
    for name in ("one.img", "two.img"):
        disk = new_disk_file(tmp_path / name, 3 * GIB)
        words = words_for(image, disk, "--seed=s", "--root-size=1G", "--via-loopback")
        require_complete(install(*words, env=EPOCH))
        ids = [probe(disk, offset)["UUID"] for offset in (2 * MIB, ROOT_START_BYTES)]
        partitions = [{k: v for k, v in p.items() if k != "node"} for p in partitions_of(disk)]
        tables.append((partitions, ids))
    assert tables[0] == tables[1]
    assert tables[0][0][2]["size"] * 512 == GIB


def test_dry_run_writes_nothing(image: str, disk_file: Path) -> None:
    words = words_for(image, disk_file, "--dry-run", "--via-loopback")
    drawing = install(*words)
    assert drawing.returncode == 0
    assert drawing.stdout.endswith("\nNothing has been written.\n")
    document = json.loads(install(*words, "--json").stdout)
    assert document["disk"]["path"] == str(disk_file)
    assert disk_file.stat().st_blocks == 0


# A line of the story, and what stands behind it when the signal arrives.
STEPS = (
    "Reading the image",
    "Partitioning",
    "Making file systems",
    "Making the repository",
    "Deploying",
    "Finishing",
)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_interrupted_leaves_nothing_and_can_be_repeated(
    image: str, disk_file: Path, tmp_path: Path, step: str, sent: signal.Signals
) -> None:
    before = leftovers()
    words = words_for(image, disk_file, "--via-loopback")
    mark = f"INTERRUPTED_TEST={tmp_path}"
    with subprocess.Popen(
        ["env", mark, *install_argv(*words)], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(step):
                break
        else:
            pytest.fail(f"the step {step!r} did not come")
        process.send_signal(sent)
        rest = process.stderr.read()
    expected = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}
    assert process.returncode == expected[sent], rest
    wait_for(lambda: not processes_with(mark))
    wait_for(lambda: leftovers() == before)

    require_complete(install(*words))
    require_installed(disk_file, tmp_path / "mnt", "ext4")


def processes_with(variable: str) -> list[str]:
    """Return the processes with this in their environment: what an installation started."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if variable.encode() in environ.read_bytes().split(b"\0"):
                found.append(environ.parent.name)
        except OSError:
            continue  # ended meanwhile
    return found
