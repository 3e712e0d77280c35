from pathlib import Path

import pytest

from bootcpy.errors import ImageContentError
from bootcpy.model.boot.bootable import BootFacts
from bootcpy.system.boot import boot_facts, initramfs
from bootcpy.system.files.directory_tree import DirectoryTree
from tests.unit.model.boot.test_cpio import archive

KERNEL = "usr/lib/modules/6.1"


def make(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An image that boots, with links as they are in Debian."""
    root = make(
        tmp_path / "root",
        {
            f"{KERNEL}/vmlinuz": b"kernel",
            f"{KERNEL}/initramfs.img": archive(initramfs.PREPARE_ROOT),
            "usr/lib/modules/6.0/modules.dep": b"",
            "usr/lib/ostree/prepare-root.conf": b"[composefs]\n",
            "usr/lib/os-release": b"ID=test\n",
            "etc/hosts": b"",
        },
    )
    (root / "lib").symlink_to("usr/lib")
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    return root


def test_read(root: Path) -> None:
    assert boot_facts.read(DirectoryTree(root)) == BootFacts(
        kernels=("6.1",),
        has_initramfs=True,
        has_prepare_root=True,
        prepare_root_conf="[composefs]\n",
        os_release=b"ID=test\n",
        has_etc=True,
    )


def test_nothing_outside_counts(root: Path) -> None:
    """Whatever links of the image name, and whatever the host has there."""
    outside = make(
        root.parent / "outside",
        {
            "6.2/vmlinuz": b"kernel",
            "initramfs.img": archive(initramfs.PREPARE_ROOT),
            "ostree/prepare-root.conf": b"",
            "os-release": b"ID=host\n",
        },
    )
    for path, target in {
        "usr/lib/modules/6.2": "6.2",
        f"{KERNEL}/initramfs.img": "initramfs.img",
        "usr/lib/ostree/prepare-root.conf": "ostree/prepare-root.conf",
        "etc/ostree": "ostree",
        "usr/lib/os-release": "os-release",
    }.items():
        (root / path).unlink(missing_ok=True)
        (root / path).symlink_to(outside / target)
    assert boot_facts.read(DirectoryTree(root)) == BootFacts(kernels=("6.1",), has_etc=True)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("usr/lib/os-release", "cannot read /usr/lib/os-release of the image: it is larger than"),
        ("etc/ostree/prepare-root.conf", "/etc/ostree/prepare-root.conf of the image: it is large"),
    ],
)
def test_read_has_limits(root: Path, path: str, message: str) -> None:
    make(root, {path: bytes(65_537)})
    with pytest.raises(ImageContentError, match=message):
        boot_facts.read(DirectoryTree(root))


def test_read_counts_kernels(root: Path) -> None:
    make(root, {f"usr/lib/modules/{number}/vmlinuz": b"" for number in range(1000)})
    with pytest.raises(ImageContentError, match="/usr/lib/modules of the image: it has more than"):
        boot_facts.read(DirectoryTree(root))
