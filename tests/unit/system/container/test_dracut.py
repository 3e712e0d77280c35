import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bootcpy.errors import ImageContentError
from bootcpy.system.boot import initramfs
from bootcpy.system.container import dracut
from tests.refusals import refused
from tests.unit.model.boot.test_cpio import archive

VERSION = "6.12.1"
MODULES = Path("usr/lib/modules") / VERSION
SETUP = Path("usr/lib/dracut/modules.d/98ostree/module-setup.sh")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root file system with an initramfs that is recorded as up to date."""
    for name, text in {
        "usr/bin/dracut": "",
        "usr/lib/ostree/ostree-prepare-root": "program",
        "etc/passwd": "root",
        "etc/group-": "root",
        "etc/dracut.conf.d/one.conf": "compress=zstd",
        str(SETUP): "inst_multiple mount\nrequire_binaries cryptsetup",
        str(MODULES / "kernel/ext4.ko"): "module",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    image = archive("usr/lib/ostree/ostree-prepare-root", "etc/passwd", "etc/group-", "init")
    (tmp_path / MODULES / "initramfs.img").write_bytes(image)
    record(tmp_path)
    return tmp_path


def record(root: Path) -> None:
    contents = list(initramfs.paths(root / MODULES / "initramfs.img"))
    facts = {"kernel": VERSION, "inputs": dracut._inputs(root, VERSION, contents)}  # noqa: SLF001 - what build() records
    path = root / dracut.RECORD
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts), encoding="utf-8")


def put(name: str, text: str = "x") -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    return change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(put("etc/passwd", "root and others"), id="a-user-added"),
        pytest.param(put("etc/group-", "root and others"), id="the-group-file-before"),
        pytest.param(put("usr/bin/cowsay"), id="a-program-dracut-does-not-know"),
    ],
)
def test_initramfs_stays_up_to_date(root: Path, change: Callable[[Path], None]) -> None:
    assert dracut.recorded_version(root) == VERSION
    assert dracut.is_up_to_date(root, VERSION)
    change(root)
    assert dracut.is_up_to_date(root, VERSION)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(put("usr/lib/ostree/ostree-prepare-root", "newer"), id="a-file-that-is-in-it"),
        pytest.param(put("etc/dracut.conf.d/two.conf"), id="configuration"),
        pytest.param(put("usr/lib/dracut/modules.d/99mine/module-setup.sh"), id="a-dracut-module"),
        pytest.param(put("usr/sbin/cryptsetup"), id="a-program-dracut-asks-for"),
        pytest.param(put(str(MODULES / "updates/zfs.ko.xz")), id="a-kernel-module"),
        pytest.param(put(str(MODULES / "initramfs.img"), "damaged"), id="a-damaged-initramfs"),
        pytest.param(put(str(dracut.RECORD), "{damaged"), id="a-damaged-record"),
        pytest.param(lambda root: (root / dracut.RECORD).unlink(), id="no-record"),
        pytest.param(lambda root: (root / MODULES / "initramfs.img").unlink(), id="no-initramfs"),
    ],
)
def test_initramfs_is_out_of_date(root: Path, change: Callable[[Path], None]) -> None:
    change(root)
    assert not dracut.is_up_to_date(root, VERSION)


def test_initramfs_of_another_kernel_is_out_of_date(root: Path) -> None:
    assert not dracut.is_up_to_date(root, "6.12.2")


@pytest.mark.parametrize(
    ("missing", "message", "hint"),
    [
        (
            "usr/bin/dracut",
            "dracut is not installed",
            "apt-get install --no-install-recommends dracut ostree-boot",
        ),
        (
            "usr/lib/ostree/ostree-prepare-root",
            "/usr/lib/ostree/ostree-prepare-root",
            "apt-get install --no-install-recommends ostree-boot",
        ),
        (
            str(SETUP),
            "dracut's module for it is not installed",
            "apt-get install --no-install-recommends ostree-boot",
        ),
    ],
)
def test_require_ostree_module(root: Path, missing: str, message: str, hint: str) -> None:
    dracut.require_ostree_module(root)
    (root / missing).unlink()
    with refused(ImageContentError, message, hint=hint):
        dracut.require_ostree_module(root)
