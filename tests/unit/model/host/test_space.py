from dataclasses import replace

import pytest

from bootcpy.errors import NoSpaceError
from bootcpy.model.base.size import KIB, MIB
from bootcpy.model.host.space import (
    BootSpace,
    Download,
    RepoSpace,
    foresee_boot_space,
    ran_out,
    require_boot_space,
    require_repo_space,
    unpacked_size,
)
from bootcpy.model.image.oci import Descriptor
from tests.refusals import refused

_FREE_SOME = "free some space there, or use a larger disk"

_DOWNLOAD = Download(name="os:1", size_bytes=100 * MIB, unpacked_bytes=300 * MIB)
_SPACE = RepoSpace(path="/repo", free_bytes=500 * MIB, reserved_bytes=50 * MIB)
_MENU_BYTES = 64 * KIB


@pytest.mark.parametrize(
    ("media_type", "unpacked"),
    [
        ("application/vnd.oci.image.layer.v1.tar", 10),
        ("application/vnd.oci.image.layer.v1.tar+gzip", 30),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", 30),
        ("application/vnd.oci.image.layer.v1.tar+zstd", 40),
    ],
)
def test_unpacked_size_estimates_by_compression(media_type: str, unpacked: int) -> None:
    layer = Descriptor(media_type=media_type, digest="sha256:0", size_bytes=10)
    assert unpacked_size([layer, layer]) == 2 * unpacked


@pytest.mark.parametrize(
    ("free_mib", "replaced_mib", "said"),
    [
        (500, 0, None),
        (350, 0, None),
        (349, 0, "may not fit"),
        (150, 0, "may not fit"),
        (149, 0, "refused"),
        (50, 0, "refused"),
        (0, 0, "refused"),
        # A rebuilt layer shares files with the one before; how many, nobody knows.
        (90, 60, "may not fit"),
        (89, 60, "refused"),
        (51, 100, "may not fit"),
        (51, 900, "may not fit"),
        (50, 900, "refused"),  # libostree begins nothing when its reserve is touched
    ],
)
def test_require_repo_room(free_mib: int, replaced_mib: int, said: str | None) -> None:
    download = replace(_DOWNLOAD, replaced_bytes=replaced_mib * MIB)
    space = replace(_SPACE, free_bytes=free_mib * MIB)
    if said == "refused":
        with pytest.raises(NoSpaceError):
            require_repo_space(download, space)
    else:
        warning = require_repo_space(download, space)
        assert (warning is not None) == (said is not None)


def test_require_repo_room_needs_room_for_the_commit_alone() -> None:
    nothing = Download(name="os:1", size_bytes=0, unpacked_bytes=0)
    assert require_repo_space(nothing, replace(_SPACE, free_bytes=51 * MIB)) is None
    with refused(NoSpaceError, r"\(available: 0 B required: 4 KiB\)", hint=_FREE_SOME):
        require_repo_space(nothing, replace(_SPACE, free_bytes=50 * MIB))


def test_require_repo_room_names_the_numbers() -> None:
    numbers = (
        "100 MiB to download, about 300 MiB unpacked; "
        "90 MiB are free in /repo, of which libostree keeps 50 MiB free"
    )
    little = replace(_SPACE, free_bytes=90 * MIB)
    with refused(NoSpaceError, hint=_FREE_SOME) as caught:
        require_repo_space(_DOWNLOAD, little)
    assert caught.value.message == (
        f"Insufficient free space for os:1 (available: 40 MiB required: 100 MiB): {numbers}"
    )
    grown = replace(_DOWNLOAD, replaced_bytes=80 * MIB)
    assert require_repo_space(grown, little) == f"the image may not fit: {numbers}"
    unreserved = replace(_SPACE, free_bytes=200 * MIB, reserved_bytes=0)
    warning = require_repo_space(_DOWNLOAD, unreserved)
    assert warning is not None
    assert warning.endswith("; 200 MiB are free in /repo")


def test_ran_out_names_cause_and_numbers() -> None:
    error = ran_out(NoSpaceError("layer 1: No space left"), _DOWNLOAD, _SPACE)
    assert error.message == (
        "os:1 does not fit: layer 1: No space left "
        "(100 MiB to download, about 300 MiB unpacked; now 500 MiB are free in /repo, "
        "of which libostree keeps 50 MiB free)"
    )


_BOOT = BootSpace(
    free_bytes=_MENU_BYTES + 10 * MIB,
    kernels={"default-running": 50 * MIB, "default-before": 30 * MIB, "other-its": 20 * MIB},
    kept={"default-running", "other-its"},
    running="default-running",
    separate=True,
)


@pytest.mark.parametrize(
    ("space", "available_mib"),
    [
        pytest.param(_BOOT, 40, id="libostree removes the rollback's kernel first"),
        pytest.param(replace(_BOOT, separate=False), 10, id="but only from a /boot of its own"),
        pytest.param(replace(_BOOT, kept=set(_BOOT.kernels)), 10, id="not if it is pinned"),
        pytest.param(replace(_BOOT, free_bytes=0, separate=False), 0, id="full"),
    ],
)
def test_boot_room(space: BootSpace, available_mib: int) -> None:
    assert space.available_bytes == available_mib * MIB
    require_boot_space(available_mib * MIB, space)
    with refused(
        NoSpaceError,
        rf"\(available: {available_mib} M?i?B required: ",
        hint="remove other files from /boot, or unpin old deployments (ostree admin pin)",
    ):
        require_boot_space(available_mib * MIB + 1, space)


@pytest.mark.parametrize(
    ("download_mib", "free_mib", "other_kernel", "said"),
    [
        (100, 50, True, None),
        (100, 49, True, "may not fit"),
        (100, 25, True, "may not fit"),
        (100, 24, True, "refused"),
        (1, 24, True, "refused"),
        (100, 24, None, "may not fit"),
        (25, 0, None, "may not fit"),
        (24, 0, None, None),  # too little to hold a kernel
        (100, 0, False, None),
    ],
)
def test_foresee_boot_room(
    *, download_mib: int, free_mib: int, other_kernel: bool | None, said: str | None
) -> None:
    download = replace(_DOWNLOAD, size_bytes=download_mib * MIB)
    space = replace(_BOOT, free_bytes=_MENU_BYTES + free_mib * MIB, separate=False)
    if said == "refused":
        with pytest.raises(NoSpaceError) as caught:
            foresee_boot_space(download, space, other_kernel=other_kernel)
        assert caught.value.message == (
            f"Insufficient free space for the kernel of os:1 in /boot "
            f"(available: {free_mib} MiB required: about 50 MiB, like the running kernel)"
        )
    else:
        warning = foresee_boot_space(download, space, other_kernel=other_kernel)
        assert (warning is not None) == (said is not None)
