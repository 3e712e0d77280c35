import pytest

from bootcpy.model.boot.soft_reboot import KernelState, find_obstacle

_BOOTED = KernelState(boot_files="b00t", kargs=("root=x", "rw", "a=1"), composefs=True)


@pytest.mark.parametrize(
    ("boot_files", "kargs", "composefs", "obstacle"),
    [
        ("b00t", "root=x rw a=1", True, None),
        (None, "root=x rw a=1", True, None),
        ("0ther", "root=x rw a=1", True, "its kernel or initramfs is different"),
        ("b00t", "root=x rw a=2 b", True, "its kernel arguments differ: -a=1 +a=2 +b"),
        ("b00t", "rw root=x a=1", True, "its kernel arguments differ: their order"),
        (None, "root=x rw a=1", False, "its prepare-root.conf does not turn composefs on"),
    ],
)
def test_a_soft_reboot_keeps_the_kernel_and_its_arguments(
    boot_files: str | None, kargs: str, *, composefs: bool, obstacle: str | None
) -> None:
    target = KernelState(boot_files=boot_files, kargs=kargs.split(), composefs=composefs)
    assert find_obstacle(_BOOTED, target) == obstacle
