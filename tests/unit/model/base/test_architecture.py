import pytest

from bootcpy.model.base.architecture import WITH_LAYOUT, Architecture


@pytest.mark.parametrize(
    ("machine", "oci", "rust"),
    [
        ("x86_64", "amd64", "x86_64"),
        ("aarch64", "arm64", "aarch64"),
        ("ppc64le", "ppc64le", "powerpc64"),
        ("ppc64", "ppc64", "powerpc64"),
        ("s390x", "s390x", "s390x"),
        ("armv7l", "arm", "arm"),
        ("i686", "386", "x86"),
        ("riscv64", "riscv64", "riscv64"),
        ("vax", "vax", "vax"),
    ],
)
def test_an_architecture_has_each_one_s_name_for_it(machine: str, oci: str, rust: str) -> None:
    architecture = Architecture.of(machine)
    assert (architecture.machine, architecture.oci, architecture.rust) == (machine, oci, rust)


def test_a_disk_can_be_laid_out_for_four() -> None:
    assert WITH_LAYOUT == ("x86_64", "aarch64", "ppc64le", "s390x")
    assert Architecture.of("riscv64").root_type is None
