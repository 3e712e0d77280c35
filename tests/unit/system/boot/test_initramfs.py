import bz2
import gzip
import lzma
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from bootcpy.errors import BootcpyError, ImageContentError
from bootcpy.system.boot import initramfs
from tests.refusals import refused
from tests.unit.model.boot.test_cpio import archive, member

_AGAIN = "build or pull the image again"

MICROCODE = archive("kernel/x86/microcode/AuthenticAMD.bin")
ROOT = archive("usr/lib/ostree/ostree-prepare-root", "init")
ZSTD = shutil.which("zstd")  # looked up before the tests' PATH is emptied


def compressed_with_zstd(content: bytes) -> bytes:
    return subprocess.run(["zstd", "-q"], input=content, stdout=subprocess.PIPE, check=True).stdout


@pytest.fixture
def zstd(tools_directory: Path) -> None:
    if ZSTD is None:
        pytest.skip("zstd is not installed")
    (tools_directory / "zstd").symlink_to(ZSTD)


@pytest.mark.usefixtures("zstd")
@pytest.mark.parametrize(
    "compress",
    [lambda content: content, gzip.compress, lzma.compress, bz2.compress, compressed_with_zstd],
    ids=["none", "gzip", "xz", "bzip2", "zstd"],
)
@pytest.mark.parametrize("early", [b"", MICROCODE + bytes(512)], ids=["", "after-microcode"])
def test_paths(tmp_path: Path, compress: Callable[[bytes], bytes], early: bytes) -> None:
    image = tmp_path / "initramfs.img"
    image.write_bytes(early + compress(ROOT))
    expected = ["usr/lib/ostree/ostree-prepare-root", "init"]
    if early:
        expected.insert(0, "kernel/x86/microcode/AuthenticAMD.bin")
    assert list(initramfs.paths(image)) == expected
    assert initramfs.PREPARE_ROOT in expected


@pytest.mark.usefixtures("zstd")
@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        pytest.param(
            b"not an initramfs",
            r"unknown compression \(it begins 6e 6f 74 20 61 6e\)",
            "compress it with zstd, gzip, xz, bzip2 or lz4",
            id="unknown",
        ),
        pytest.param(gzip.compress(ROOT)[:-20], "the initramfs is damaged", _AGAIN, id="gzip-cut"),
        pytest.param(lzma.compress(ROOT)[:90], "the initramfs is damaged", _AGAIN, id="xz-cut"),
        pytest.param(ROOT[:200], "in the middle", _AGAIN, id="plain-cut"),
    ],
)
def test_paths_refuses(tmp_path: Path, content: bytes, message: str, hint: str) -> None:
    image = tmp_path / "initramfs.img"
    image.write_bytes(content)
    with refused(ImageContentError, message, hint=hint):
        list(initramfs.paths(image))


@pytest.mark.usefixtures("zstd")
def test_paths_refuses_zstd_that_is_cut(tmp_path: Path) -> None:
    image = tmp_path / "initramfs.img"
    image.write_bytes(compressed_with_zstd(ROOT)[:-20])
    with pytest.raises(ImageContentError, match="in the middle"):
        list(initramfs.paths(image))


def test_paths_names_the_missing_decompressor(tmp_path: Path) -> None:
    image = tmp_path / "initramfs.img"
    image.write_bytes(b"\x28\xb5\x2f\xfd and so on")
    with refused(BootcpyError, "zstd is not installed", hint="install zstd and try again"):
        list(initramfs.paths(image))


@pytest.mark.timeout(10)
@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress], ids=["gzip", "xz"])
def test_paths_holds_no_more_of_a_large_initramfs_than_a_block(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    large = member("large", bytes(64_000_000)) + ROOT
    (tmp_path / "initramfs.img").write_bytes(bytes(32_000_000) + compress(large))
    del large
    tracemalloc.start()
    try:
        found = list(initramfs.paths(tmp_path / "initramfs.img"))
        assert tracemalloc.get_traced_memory()[1] < 16_000_000  # xz keeps the last 8 MiB
    finally:
        tracemalloc.stop()
    assert found == ["large", "usr/lib/ostree/ostree-prepare-root", "init"]


def test_paths_refuses_xz_that_wants_gigabytes(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}]
    image = tmp_path / "initramfs.img"
    image.write_bytes(lzma.compress(ROOT, filters=filters))
    with pytest.raises(ImageContentError, match="the initramfs is damaged: Memory usage limit"):
        list(initramfs.paths(image))


def test_paths_takes_what_the_highest_level_of_xz_makes(tmp_path: Path) -> None:
    image = tmp_path / "initramfs.img"
    image.write_bytes(lzma.compress(ROOT, preset=9 | lzma.PRESET_EXTREME))
    assert initramfs.PREPARE_ROOT in list(initramfs.paths(image))
