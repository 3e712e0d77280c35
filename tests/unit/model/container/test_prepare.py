from dataclasses import replace
from pathlib import Path

import pytest

from bootcpy.errors import (
    BootcpyError,
    EnvironmentMismatchError,
    ImageContentError,
    PrivilegeError,
)
from bootcpy.model.container.prepare import (
    EntryKind,
    KernelPlan,
    ModulesDirectory,
    MoveAndLink,
    Surroundings,
    TopLevel,
    modules_directories,
    plan_kernel,
    plan_top_level,
    require_image_build,
    require_usr_merged,
)
from bootcpy.system.files.directory_tree import DirectoryTree
from tests.refusals import refused

_RUN_IN_BUILD = "run it as a RUN step of a Containerfile; it changes the root file system"

IN_A_BUILD = Surroundings(
    is_root=True, ostree_booted=False, container_marked=True, init_has_other_root=None
)
OLD, NEW = "6.12.9-amd64", "6.12.107-amd64"


@pytest.mark.parametrize(
    "here",
    [
        pytest.param(IN_A_BUILD, id="marked-container"),
        pytest.param(
            replace(IN_A_BUILD, container_marked=False, init_has_other_root=True), id="chroot"
        ),
        pytest.param(
            replace(IN_A_BUILD, init_has_other_root=False), id="container-with-its-own-processes"
        ),
    ],
)
def test_require_image_build_accepts(here: Surroundings) -> None:
    require_image_build(here)


@pytest.mark.parametrize(
    ("here", "error", "words", "hint"),
    [
        pytest.param(
            replace(IN_A_BUILD, is_root=False),
            PrivilegeError,
            "root",
            "run it as a RUN step of a Containerfile",
            id="not-root",
        ),
        pytest.param(
            replace(IN_A_BUILD, ostree_booted=True),
            EnvironmentMismatchError,
            "booted from an image",
            _RUN_IN_BUILD,
            id="privileged-container-on-an-image-host",
        ),
        pytest.param(
            replace(IN_A_BUILD, container_marked=False, init_has_other_root=False),
            EnvironmentMismatchError,
            "running machine",
            _RUN_IN_BUILD,
            id="live-host",
        ),
        pytest.param(
            replace(IN_A_BUILD, container_marked=False),
            EnvironmentMismatchError,
            "running machine",
            _RUN_IN_BUILD,
            id="cannot-tell",
        ),
    ],
)
def test_require_image_build_refuses(
    here: Surroundings, error: type[BootcpyError], words: str, hint: str
) -> None:
    with refused(error, words, hint=hint):
        require_image_build(here)


def test_require_usr_merged_accepts_relative_and_absolute_links() -> None:
    require_usr_merged({"bin": "usr/bin", "sbin": "/usr/sbin", "lib": "usr/lib"})


@pytest.mark.parametrize(
    ("links", "name"),
    [
        pytest.param({"bin": None, "sbin": "usr/sbin", "lib": "usr/lib"}, "/bin", id="directory"),
        pytest.param({"bin": "usr/bin", "lib": "usr/lib"}, "/sbin", id="missing"),
        pytest.param(
            {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": None},
            "/lib64",
            id="lib64",
        ),
    ],
)
def test_require_usr_merged_refuses(links: dict[str, str | None], name: str) -> None:
    with refused(
        ImageContentError,
        f"{name} is not a link",
        hint="install the package usrmerge first, or use Debian 12 or later as the base",
    ):
        require_usr_merged(links)


def test_modules_directories(tmp_path: Path) -> None:
    base = tmp_path / "usr/lib/modules"
    (base / "6.1/kernel").mkdir(parents=True)
    (base / "6.0").mkdir()
    (base / "6.0/vmlinuz").touch()
    (base / "6.2").symlink_to("6.1")
    (base / "README").touch()
    assert modules_directories(DirectoryTree(tmp_path)) == (
        ModulesDirectory(version="6.0", has_vmlinuz=True, has_packaged_files=False),
        ModulesDirectory(version="6.1", has_vmlinuz=False, has_packaged_files=True),
    )
    assert modules_directories(DirectoryTree(tmp_path / "usr")) == ()


def modules(version: str, *, vmlinuz: bool = False, packaged: bool = True) -> ModulesDirectory:
    return ModulesDirectory(version=version, has_vmlinuz=vmlinuz, has_packaged_files=packaged)


@pytest.mark.parametrize(
    ("in_boot", "directories", "prepared", "plan"),
    [
        pytest.param(
            [NEW],
            [modules(NEW)],
            None,
            KernelPlan(version=NEW, from_boot=True, left_over=()),
            id="installed-by-the-package",
        ),
        pytest.param(
            [],
            [modules(NEW, vmlinuz=True)],
            NEW,
            KernelPlan(version=NEW, from_boot=False, left_over=()),
            id="prepared-before",
        ),
        pytest.param(
            [NEW],
            [modules(NEW, vmlinuz=True)],
            NEW,
            KernelPlan(version=NEW, from_boot=True, left_over=()),
            id="same-kernel-installed-again",
        ),
        pytest.param(
            [NEW],
            [modules(NEW), modules(OLD, vmlinuz=True, packaged=False)],
            OLD,
            KernelPlan(version=NEW, from_boot=True, left_over=(OLD,)),
            id="upgraded-and-the-old-package-purged",
        ),
        pytest.param(
            [],
            [modules(NEW, vmlinuz=True, packaged=False)],
            None,
            KernelPlan(version=NEW, from_boot=False, left_over=()),
            id="someones-own-kernel-without-modules",
        ),
        pytest.param(
            [NEW],
            [modules(NEW), modules(OLD)],
            None,
            KernelPlan(version=NEW, from_boot=True, left_over=()),
            id="modules-without-a-kernel-do-not-count",
        ),
    ],
)
def test_plan_kernel(
    in_boot: list[str],
    directories: list[ModulesDirectory],
    prepared: str | None,
    plan: KernelPlan,
) -> None:
    assert plan_kernel(in_boot, directories, prepared=prepared) == plan


def test_plan_kernel_refuses_none() -> None:
    with refused(
        ImageContentError, "no kernel", hint="install one first: apt-get install linux-image-amd64"
    ):
        plan_kernel([], [modules(OLD)], prepared=None)


def test_plan_kernel_refuses_when_the_prepared_one_was_purged_and_none_came() -> None:
    left = [modules(OLD, vmlinuz=True, packaged=False)]
    with pytest.raises(ImageContentError, match="no kernel"):
        plan_kernel([], left, prepared=OLD)


@pytest.mark.parametrize(
    ("in_boot", "directories"),
    [
        pytest.param([OLD, NEW], [modules(OLD), modules(NEW)], id="both-in-boot"),
        pytest.param([NEW], [modules(OLD, vmlinuz=True), modules(NEW)], id="one-prepared-before"),
    ],
)
def test_plan_kernel_refuses_two_and_names_both(
    in_boot: list[str], directories: list[ModulesDirectory]
) -> None:
    with refused(
        ImageContentError,
        f"{OLD}, {NEW}",
        hint=f"remove the old ones: apt-get autoremove --purge, or purge linux-image-{OLD}",
    ):
        plan_kernel(in_boot, directories, prepared=OLD)


PREPARED = {
    "home": "var/home",
    "root": "var/roothome",
    "srv": "var/srv",
    "mnt": "/var/mnt",
    "media": "var/media",
    "opt": "usr/lib/opt",
    "ostree": "sysroot/ostree",
}


def test_plan_top_level_leaves_what_is_prepared() -> None:
    found = {n: TopLevel(kind=EntryKind.LINK, target=target) for n, target in PREPARED.items()}
    assert plan_top_level(found) == ()


def test_plan_top_level_moves_directories_and_makes_what_is_missing() -> None:
    found = {n: TopLevel(kind=EntryKind.LINK, target=target) for n, target in PREPARED.items()}
    found["root"] = TopLevel(kind=EntryKind.DIRECTORY)
    del found["ostree"]
    assert plan_top_level(found) == (
        MoveAndLink(name="root", destination="var/roothome", mode=0o700, contents=True),
        MoveAndLink(name="ostree", destination="sysroot/ostree", mode=None, contents=False),
    )


@pytest.mark.parametrize(
    ("there", "what"),
    [
        (TopLevel(kind=EntryKind.LINK, target="/data/srv"), "a link to /data/srv"),
        (TopLevel(kind=EntryKind.OTHER), "a file"),
    ],
)
def test_plan_top_level_refuses_what_it_does_not_understand(there: TopLevel, what: str) -> None:
    with refused(
        ImageContentError,
        f"/srv is {what}",
        hint="remove /srv, or make it a directory, and prepare again",
    ):
        plan_top_level({"srv": there})
