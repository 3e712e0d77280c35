import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from bootcpy.errors import ImageContentError
from bootcpy.model.boot.kernels import boot_checksum, boot_size, kernel_versions
from bootcpy.model.image.tree import ImageTree
from tests.refusals import refused
from tests.unit.model.image.trees import Link, TreeInMemory

MODULES = "usr/lib/modules"
KERNEL = {f"{MODULES}/6.1/vmlinuz": b"kernel", f"{MODULES}/6.1/initramfs.img": b"files"}
OTHER = {f"{MODULES}/6.0/vmlinuz": b"older"}


@pytest.mark.parametrize(
    ("files", "versions"),
    [
        ({}, ()),
        (KERNEL, ("6.1",)),
        (KERNEL | OTHER, ("6.0", "6.1")),
        (KERNEL | {f"{MODULES}/6.0/modules.dep": b"", f"{MODULES}/README": b""}, ("6.1",)),
        ({f"{MODULES}/6.1/vmlinuz": Link("/boot/vmlinuz")}, ()),
        ({f"{MODULES}/6.1/vmlinuz/x": b""}, ()),
        ({MODULES: b"a file"}, ()),
    ],
)
def test_kernel_versions(files: dict[str, bytes | Link], versions: tuple[str, ...]) -> None:
    assert kernel_versions(TreeInMemory(files)) == versions


def test_kernels_have_a_limit() -> None:
    many: dict[str, bytes | Link] = {f"{MODULES}/{n}/vmlinuz": b"" for n in range(1001)}
    with pytest.raises(ImageContentError, match="cannot read /usr/lib/modules of the image: too"):
        kernel_versions(TreeInMemory(many))


@pytest.mark.parametrize(
    ("files", "content"),
    [
        (KERNEL, b"kernelfiles"),
        ({f"{MODULES}/6.1/vmlinuz": b"kernel"}, b"kernel"),
        (KERNEL | {f"{MODULES}/6.1/dtb/board.dtb": b""}, None),
        (KERNEL | {f"{MODULES}/6.1/devicetree": b""}, None),
        (KERNEL | OTHER, None),
        ({}, None),
    ],
)
def test_boot_checksum_is_of_the_kernel_and_then_the_initramfs(
    files: dict[str, bytes | Link], content: bytes | None
) -> None:
    expected = None if content is None else hashlib.sha256(content).hexdigest()
    assert boot_checksum(TreeInMemory(files)) == expected


def test_boot_size_is_of_all_kernels() -> None:
    assert boot_size(TreeInMemory({**KERNEL, **OTHER})) == len(b"kernelfilesolder")
    assert boot_size(TreeInMemory({})) == 0


class _Lost(TreeInMemory):
    """Names files whose contents are gone, as in a damaged repository."""

    def open_file(self, path: Path) -> BinaryIO:
        raise FileNotFoundError(2, "No such file or directory", str(path))


@pytest.mark.parametrize("question", [boot_checksum, boot_size])
def test_a_kernel_whose_content_is_lost_is_named(question: Callable[[ImageTree], object]) -> None:
    tree = _Lost({"usr/lib/modules/6.1/vmlinuz": b"k"})
    message = "^cannot read /usr/lib/modules/6.1/vmlinuz of the image: No such file"
    with refused(ImageContentError, message, hint="build or pull the image again"):
        question(tree)
