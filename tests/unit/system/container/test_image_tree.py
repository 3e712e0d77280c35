import os
import stat
from pathlib import Path

import pytest

from bootcpy.errors import EnvironmentMismatchError
from bootcpy.model.container.files import ImageFile
from bootcpy.model.container.prepare import EntryKind, MoveAndLink, TopLevel
from bootcpy.model.container.var import VarKind
from bootcpy.system.container import image_tree
from tests.refusals import refused

REAL_CP = "/usr/bin/cp"


@pytest.fixture
def root(tmp_path: Path, tools_directory: Path) -> Path:
    (tools_directory / "cp").symlink_to(REAL_CP)
    return tmp_path


def make(root: Path, *paths: str) -> None:
    """Make directories (ending with /), links (a -> b) and files that hold their own name."""
    for text in paths:
        name, _, target = text.partition(" -> ")
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if target:
            path.symlink_to(target)
        elif text.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_text(name, encoding="utf-8")


def test_read_top_level(root: Path) -> None:
    make(root, "home/", "srv -> var/srv", "mnt")
    found = image_tree.read_top_level(root)
    assert found["home"] == TopLevel(kind=EntryKind.DIRECTORY)
    assert found["srv"] == TopLevel(kind=EntryKind.LINK, target="var/srv")
    assert found["mnt"] == TopLevel(kind=EntryKind.OTHER)
    assert found["opt"] == TopLevel(kind=EntryKind.ABSENT)


def test_read_merged_links(root: Path) -> None:
    make(root, "bin -> usr/bin", "lib64/")
    assert image_tree.read_merged_links(root) == {"bin": "usr/bin", "lib64": None}


def test_read_kernels(root: Path) -> None:
    make(root, "boot/vmlinuz-6.1", "boot/config-6.1")
    assert image_tree.read_boot_kernels(root) == ("6.1",)


def test_read_var_names_kinds_and_leaves_mounts_out(root: Path) -> None:
    make(root, "var/lib/x/file", "var/run -> ../run", "var/cache/apt/mounted")
    os.mkfifo(root / "var/lib/pipe")
    found = image_tree.read_var(root, {root / "var/cache/apt"})
    assert [(entry.path, entry.kind) for entry in found] == [
        ("cache", VarKind.DIRECTORY),
        ("lib", VarKind.DIRECTORY),
        ("lib/pipe", VarKind.SPECIAL),
        ("lib/x", VarKind.DIRECTORY),
        ("lib/x/file", VarKind.FILE),
        ("run", VarKind.LINK),
    ]
    assert found[-1].target == "../run"


def test_read_tmpfiles_leaves_ours_out(root: Path) -> None:
    make(root, "usr/lib/tmpfiles.d/a.conf", "usr/lib/tmpfiles.d/ours.conf", "etc/tmpfiles.d/b.conf")
    assert image_tree.read_tmpfiles(root, without="ours.conf") == (
        "usr/lib/tmpfiles.d/a.conf",
        "etc/tmpfiles.d/b.conf",
    )


def test_move_and_link_keeps_what_the_directory_held(root: Path) -> None:
    make(root, "opt/acme/tool", "usr/lib/opt/before")
    (root / "opt/acme/tool").chmod(0o4755)
    step = MoveAndLink(name="opt", destination="usr/lib/opt", mode=0o755, contents=True)
    image_tree.move_and_link(root, step)
    assert (root / "opt").readlink() == Path("usr/lib/opt")
    assert (root / "opt/acme/tool").read_text(encoding="utf-8") == "opt/acme/tool"
    assert stat.S_IMODE((root / "opt/acme/tool").stat().st_mode) == 0o4755
    assert (root / "opt/before").exists()


def test_move_and_link_makes_the_destination_with_its_mode(root: Path) -> None:
    make(root, "root/.bashrc", "var/")
    (root / "root").chmod(0o755)
    step = MoveAndLink(name="root", destination="var/roothome", mode=0o700, contents=True)
    image_tree.move_and_link(root, step)
    assert stat.S_IMODE((root / "var/roothome").stat().st_mode) == 0o700
    assert (root / "root/.bashrc").exists()


def test_move_and_link_makes_nothing_where_a_disk_will_be(root: Path) -> None:
    step = MoveAndLink(name="ostree", destination="sysroot/ostree", mode=None, contents=False)
    image_tree.move_and_link(root, step)
    assert [path.name for path in root.iterdir()] == ["ostree"]


def test_relocate_replaces_an_older_one_and_leaves_a_link(root: Path) -> None:
    make(root, "var/lib/dpkg/status", "usr/lib/sysimage/dpkg/old")
    source, destination = root / "var/lib/dpkg", root / "usr/lib/sysimage/dpkg"
    image_tree.relocate(source, destination, link_text="../../usr/lib/sysimage/dpkg")
    assert [path.name for path in destination.iterdir()] == ["status"]
    assert (source / "status").exists()
    assert source.is_symlink()


def test_empty_leaves_mounts_and_what_holds_them(root: Path) -> None:
    make(root, "run/a/b", "run/c", "run/systemd/resolve/stub", "run/systemd/other")
    mount = root / "run/systemd/resolve/stub"
    assert image_tree.empty(root / "run", {mount}) == ("a", "c")
    assert [str(p.relative_to(root)) for p in sorted(root.rglob("*"))] == [
        "run",
        "run/systemd",
        "run/systemd/resolve",
        "run/systemd/resolve/stub",
    ]


def test_require_not_mounted_names_the_mount(root: Path) -> None:
    image_tree.require_not_mounted([root / "home"], {root / "homes"})
    with refused(
        EnvironmentMismatchError,
        "home/cache is a mount",
        hint="run `bootc container prepare` in a separate RUN, without that mount",
    ):
        image_tree.require_not_mounted([root / "home"], {root / "home/cache"})


def test_read_image_files(root: Path) -> None:
    units = "usr/lib/systemd/system"
    links = {
        f"{units}/bootc-fetch-apply-updates.timer": "/dev/null",
        f"{units}/multi-user.target.wants/bootc-boot-check.service": "../bootc-boot-check.service",
    }
    make(root, *(f"{path} -> {to}" for path, to in links.items()))
    files = ("usr/lib/bootc/grub-menu", f"{units}/bootc-boot-check.service")
    make(root, *files)
    assert image_tree.read_image_files(root) == {**{name: name for name in files}, **links}


def test_write_makes_directories_and_sets_the_mode(root: Path) -> None:
    file = ImageFile(path="usr/lib/bootc/x", text="#!/bin/sh\n", purpose="", mode=0o755)
    image_tree.write(root, file)
    assert (root / file.path).read_text(encoding="utf-8") == file.text
    assert stat.S_IMODE((root / file.path).stat().st_mode) == 0o755
    assert len(list((root / "usr/lib/bootc").iterdir())) == 1


def test_write_makes_a_link(root: Path) -> None:
    link = ImageFile(path="usr/lib/a/b", text="../c", purpose="", is_link=True)
    image_tree.write(root, link)
    assert str((root / link.path).readlink()) == "../c"
    with pytest.raises(FileExistsError):
        image_tree.write(root, link)
