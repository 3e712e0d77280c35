from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcpy.errors import TargetError
from bootcpy.model.base.size import GIB, MIB, align_up
from bootcpy.model.install.layout import (
    UNFINISHED_NAME,
    DiskFacts,
    DiskLayout,
    Filesystem,
    Partition,
    PartitionRole,
    RootNeeds,
    plan_layout,
    random_identity,
    seeded_identity,
)
from tests.refusals import refused

SMALL_IMAGE = RootNeeds(image_bytes=400 * MIB)


def plan(
    *,
    size_bytes: int = 20 * GIB,
    machine: str = "x86_64",
    root_size_bytes: int | None = None,
    needs: RootNeeds = SMALL_IMAGE,
    seed: str = "seed",
    epoch: int | None = None,
) -> DiskLayout:
    return plan_layout(
        DiskFacts(path="/dev/vda", size_bytes=size_bytes),
        machine=machine,
        filesystem=Filesystem.EXT4,
        root_size_bytes=root_size_bytes,
        needs=needs,
        identify=seeded_identity(seed, epoch),
    )


def shape(partition: Partition) -> tuple[str, str, int, int, bool]:
    return (
        partition.name,
        str(partition.type_uuid),
        partition.start_bytes // MIB,
        partition.size_bytes // MIB,
        partition.bootable,
    )


ESP = ("EFI-SYSTEM", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b")


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (
            "x86_64",
            [
                ("BIOS-BOOT", "21686148-6449-6e6f-744e-656564454649", 1, 1, True),
                (*ESP, 2, 512, False),
                ("root", "4f68bce3-e8cd-4db1-96e7-fbcaf984b709", 514, 20480 - 515, False),
            ],
        ),
        (
            "aarch64",
            [
                (*ESP, 1, 512, False),
                ("root", "b921b045-1df0-41c3-af44-4c6f280d3fae", 513, 20480 - 514, False),
            ],
        ),
        (
            "ppc64le",
            [
                ("PowerPC-PReP-boot", "9e1a2d38-c612-4316-aa26-8b49521e5a8b", 1, 4, True),
                ("root", "c31c45e6-3f39-412e-80fb-4809c4980599", 5, 20480 - 6, False),
            ],
        ),
        ("s390x", [("root", "5eead9a9-fe09-4a1e-a1d7-520d00531306", 1, 20480 - 2, False)]),
    ],
)
def test_plan_layout_is_the_reference_layout(
    machine: str, expected: list[tuple[str, str, int, int, bool]]
) -> None:
    layout = plan(machine=machine)
    assert [shape(p) for p in layout.partitions] == expected
    assert [p.number for p in layout.partitions] == list(range(1, len(expected) + 1))


def test_plan_layout_gives_esp_and_root_their_filesystems() -> None:
    bios, esp, root = plan().partitions
    assert (bios.filesystem, bios.filesystem_id, bios.label) == (None, None, None)
    assert (esp.filesystem, esp.label) == ("vfat", "EFI-SYSTEM")
    assert esp.filesystem_id is not None
    assert len(esp.filesystem_id) == len("1A2B-3C4D")
    assert (root.filesystem, root.label) == ("ext4", "root")
    assert str(UUID(root.filesystem_id)) == root.filesystem_id


def test_plan_layout_obeys_root_size() -> None:
    assert plan(root_size_bytes=5 * GIB).root.size_bytes == 5 * GIB


def test_plan_layout_refuses_an_unknown_architecture() -> None:
    with refused(TargetError, "riscv64", hint="known are: x86_64, aarch64, ppc64le, s390x"):
        plan(machine="riscv64")


def test_plan_layout_refuses_a_disk_that_is_too_small() -> None:
    with refused(TargetError, hint="use a disk of at least 3587M") as caught:
        plan(size_bytes=3 * GIB, needs=RootNeeds(image_bytes=2 * GIB))
    assert caught.value.message == (
        "/dev/vda is too small: it has 3 GiB, 3.5 GiB are needed (515 MiB for boot partitions "
        "and tables, 3 GiB for root: 2 GiB for the unpacked image, a quarter more for the file "
        "system, 512 MiB to start with)"
    )


def test_plan_layout_accepts_the_size_its_own_hint_names() -> None:
    plan(size_bytes=3587 * MIB, needs=RootNeeds(image_bytes=2 * GIB))


def test_plan_layout_refuses_a_root_size_below_the_image() -> None:
    with refused(
        TargetError,
        r"--root-size 1 GiB is too small.*needs 3 GiB",
        hint="give --root-size at least 3072M, or leave it out",
    ):
        plan(root_size_bytes=GIB, needs=RootNeeds(image_bytes=2 * GIB))


def test_plan_layout_refuses_a_root_size_beyond_the_disk() -> None:
    with refused(
        TargetError,
        r"has 20 GiB, 20.5 GiB are needed .*--root-size",
        hint="use a disk of at least 20995M",
    ):
        plan(root_size_bytes=20 * GIB)


@given(
    image_bytes=st.integers(0, 1 << 42),
    machine=st.sampled_from(["x86_64", "aarch64", "ppc64le", "s390x"]),
    root_extra_mib=st.none() | st.integers(0, 1 << 22),
    spare_bytes=st.integers(0, 1 << 42),
)
def test_plan_layout_never_overlaps_nor_leaves_the_disk(
    image_bytes: int, machine: str, root_extra_mib: int | None, spare_bytes: int
) -> None:
    needs = RootNeeds(image_bytes=image_bytes)
    least_bytes = align_up(needs.size_bytes, MIB)
    root_size_bytes = None if root_extra_mib is None else least_bytes + root_extra_mib * MIB
    size_bytes = 515 * MIB + (root_size_bytes or least_bytes) + spare_bytes
    layout = plan(
        size_bytes=size_bytes, machine=machine, root_size_bytes=root_size_bytes, needs=needs
    )
    end = MIB
    for partition in layout.partitions:
        assert partition.start_bytes == end
        assert partition.start_bytes % MIB == partition.size_bytes % MIB == 0
        end = partition.end_bytes
    assert end <= size_bytes - MIB
    assert layout.root.size_bytes >= needs.size_bytes


def identities(layout: DiskLayout) -> list[str]:
    ids = [str(layout.disk_uuid)]
    for p in layout.partitions:
        ids += [str(p.uuid), *([p.filesystem_id] if p.filesystem_id else [])]
    return ids


def test_seeded_identities_are_distinct_and_repeat() -> None:
    ids = identities(plan(seed="a", epoch=1))
    assert len(set(ids)) == len(ids)
    assert ids == identities(plan(seed="a", epoch=1))


@pytest.mark.parametrize(("seed", "epoch"), [("b", 1), ("a", 2), ("a", None)])
def test_seeded_identities_depend_on_seed_and_epoch(seed: str, epoch: int | None) -> None:
    assert not set(identities(plan(seed="a", epoch=1))) & set(
        identities(plan(seed=seed, epoch=epoch))
    )


def test_random_identity_never_repeats() -> None:
    assert random_identity("disk") != random_identity("disk")


def test_find_returns_the_partition_of_a_role() -> None:
    layout = plan(machine="aarch64")
    assert layout.find(PartitionRole.ESP) == layout.partitions[0]
    assert layout.find(PartitionRole.BIOS_BOOT) is None


def test_unfinished_differs_in_the_name_of_root_alone() -> None:
    layout = plan()
    *firmware, root = layout.unfinished().partitions
    assert tuple(firmware) == layout.partitions[:-1]
    assert root == replace(layout.root, name=UNFINISHED_NAME)
