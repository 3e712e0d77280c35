"""What an update is refused for before it is staged, above all by the merge of /etc."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.system.support.booted_host import BootedHost
from tests.system.support.installed_host import answer, digests, installed, refusal
from tests.system.support.marks import IN_CONTAINER
from tests.system.support.oci_layout import BASE, KERNEL, Node, write_image

pytestmark = IN_CONTAINER

_PREPARE = "build the image with `RUN bootc container prepare` as its last step"
_WRITE_TITLE = 'write PRETTY_NAME="..." into /usr/lib/os-release, as UTF-8; see os-release(5)'
_AGAIN = "build or pull the image again"

_KERNEL_WITH_BLANK = {name.replace("6.12.0-test", "6.1 test"): node for name, node in BASE.items()}


@pytest.mark.parametrize(
    ("layers", "rest", "message", "hint"),
    [
        pytest.param(
            [{"usr/x": "x"}],
            {},
            "the image has no kernel",
            f"install a kernel, then {_PREPARE}",
            id="no kernel",
        ),
        pytest.param(
            [BASE, {f"{KERNEL}-2/vmlinuz": "x"}],
            {},
            "the image has more than one kernel",
            "remove all but one; an image boots exactly one",
            id="two",
        ),
        pytest.param(
            [BASE],
            {"architecture": "s390x"},
            "architecture s390x",
            "pull or build the image for this machine's architecture",
            id="architecture",
        ),
        pytest.param(
            [BASE, {"usr/lib/bootc/kargs.d/x.toml": "kargs = 1\n"}],
            {},
            "x.toml",
            "correct the file",
            id="kargs.d",
        ),
        pytest.param(
            [BASE, {"usr/lib/ostree/prepare-root.conf": "[composefs]\nenabled = yes\n"}],
            {},
            "composefs",
            "set `enabled = no` below [composefs] in ostree/prepare-root.conf",
            id="composefs",
        ),
        pytest.param(
            [BASE, {"usr/lib/os-release": b"PRETTY_NAME=M\xfcller\n"}],
            {},
            "os-release is not UTF-8",
            _WRITE_TITLE,
            id="os-release",
        ),
        pytest.param(
            [BASE, {"usr/lib/os-release": "NAME=Test\n"}],
            {},
            "os-release has no PRETTY_NAME or ID",
            _WRITE_TITLE,
            id="title",
        ),
        pytest.param(
            [_KERNEL_WITH_BLANK],
            {},
            "the kernel's version '6.1 test' has characters",
            "use a shorter name without spaces for its directory in /usr/lib/modules",
            id="blank",
        ),
        pytest.param(
            [BASE, {"usr/lib/bootc/kargs.d/x.toml": b"#" * 65_537}],
            {},
            "/usr/lib/bootc/kargs.d/x.toml of the image: it is larger than 64 KiB",
            _AGAIN,
            id="large kargs.d",
        ),
        pytest.param(
            [BASE, {"usr/lib/bootc/kargs.d/x.toml": "kargs = " + "[" * 20_000}],
            {},
            "x.toml: not valid TOML: it is nested too deep",
            "correct the file",
            id="deep kargs.d",
        ),
        pytest.param(
            [BASE, {f"usr/lib/bootc/kargs.d/{number}.toml": b"" for number in range(1001)}],
            {},
            "/usr/lib/bootc/kargs.d of the image: it has more than 1,000 entries",
            _AGAIN,
            id="many kargs.d",
        ),
        pytest.param(
            [BASE, {"usr/lib/ostree/prepare-root.conf": b"#" * 65_537}],
            {},
            "prepare-root.conf of the image: it is larger than 64 KiB",
            _AGAIN,
            id="large prepare-root.conf",
        ),
        pytest.param(
            [BASE, {f"usr/lib/modules/{number}/vmlinuz": b"" for number in range(1001)}],
            {},
            "/usr/lib/modules of the image: it has more than 1,000 entries",
            _AGAIN,
            id="kernels",
        ),
        pytest.param(
            [BASE, {f"{KERNEL}/initramfs.img": b"070701" + b"0" * 88 + b"F" * 8 + b"0" * 8}],
            {},
            "the initramfs has a file name of 4,294,967,295 bytes",
            _AGAIN,
            id="initramfs",
        ),
    ],
)
def test_upgrade_refuses_what_cannot_boot_here(
    host: BootedHost, layout: Path, layers: list[Any], rest: dict[str, Any], message: str, hint: str
) -> None:
    write_image(layout, layers, **rest)
    assert message in refusal(host, "upgrade", hint=hint)


_ETC_CASES: dict[str, tuple[dict[str, Node], dict[str, Node], str]] = {
    "changed file, directory": ({"etc/x": "1"}, {"etc/x/y": "1"}, "echo 2 >x"),
    "unchanged file, directory": ({"etc/x": "1"}, {"etc/x/y": "1"}, "touch x"),
    "added file, directory": ({}, {"etc/x/y": "1"}, "echo 2 >x"),
    "file with another mode": ({"etc/x": "1"}, {"etc/x/y": "1"}, "chmod 600 x"),
    "file with another owner": ({"etc/x": "1"}, {"etc/x/y": "1"}, "chown 1 x"),
    "removed file, directory": ({"etc/x": "1"}, {"etc/x/y": "1"}, "rm x"),
    "added file in a directory, file": ({"etc/x/y": "1"}, {"etc/x": "1"}, "echo 2 >x/z"),
    "removed file in a directory, file": (
        {"etc/x/y": "1", "etc/x/z": "1"},
        {"etc/x": "1"},
        "rm x/y",
    ),
    "unchanged directory, file": ({"etc/x/y": "1"}, {"etc/x": "1"}, "chmod 700 x"),
    "added directory, file": ({}, {"etc/x": "1"}, "mkdir x; echo 2 >x/y"),
    "removed directory, file": ({"etc/x/y": "1"}, {"etc/x": "1"}, "rm -r x"),
    "link for a directory": ({"etc/x/y": "1"}, {"etc/x/y": "2"}, "rm -r x; ln -s shipped x"),
    "removed link, shipped again": ({"etc/x": ("shipped",)}, {"etc/x": ("shipped",)}, "rm x"),
    "changed link, directory": ({"etc/x": ("shipped",)}, {"etc/x/y": "1"}, "ln -sfn q x"),
    "pipe": ({}, {}, "mkfifo x"),
    "pipe, directory": ({}, {"etc/x/y": "1"}, "mkfifo x"),
    "deep": ({"etc/x/y/z": "1"}, {"etc/x": "1"}, "echo 2 >x/y/new"),
    "in an added directory": ({}, {"etc/x/a/b": "1"}, "mkdir x; echo 2 >x/a"),
    "directory, link into usr": ({"etc/x/y": "1"}, {"etc/x": ("/usr/lib",)}, "echo 2 >x/y"),
    "directory, link to nothing": ({"etc/x/y": "1"}, {"etc/x": ("gone",)}, "echo 2 >x/y"),
    "directory, link to nothing, removal": (
        {"etc/x/y": "1", "etc/x/z": "1"},
        {"etc/x": ("gone",)},
        "rm x/y",
    ),
    "directory, link to a directory": (
        {"etc/x/y": "1"},
        {"etc/x": ("z",), "etc/z/y": "1"},
        "echo 2 >x/new",
    ),
    "socket": ({}, {}, "mkdir x; mkfifo x/p; mknod x/c c 1 3"),
}


@pytest.mark.parametrize(("old", "new", "change"), _ETC_CASES.values(), ids=_ETC_CASES.keys())
def test_upgrade_foresees_what_the_merge_of_etc_will_do(
    tmp_path: Path, layout: Path, old: dict[str, Node], new: dict[str, Node], change: str
) -> None:
    write_image(layout, [BASE | old])
    with installed(tmp_path, layout, kargs=["root=UUID=x", "rw"]) as host:
        first = digests(host)["booted"]
        second = write_image(layout, [BASE | new], version="2")
        answer(host, "upgrade")
        deployments = host.root / "ostree/deploy/default/deploy"
        checksum = host.status()["status"]["booted"]["ostree"]["checksum"]
        subprocess.run(["sh", "-c", change], cwd=deployments / f"{checksum}.0/etc", check=True)
        # The change came after the check, so libostree shows what it makes of it.
        merged = host.finalize() == 0
        host.boot()
        if not merged:
            assert digests(host) == {"staged": None, "booted": first, "rollback": None}
            hint = "move or remove these paths, and run the command again"
            message = refusal(host, "upgrade", hint=hint)
            assert "changes in /etc cannot be merged" in message
            return
        assert digests(host)["booted"] == second
        # What merged must not be foreseen as a conflict: the same again from the rollback.
        answer(host, "rollback")
        host.reboot()
        answer(host, "upgrade")


def test_upgrade_names_what_the_merge_of_etc_leaves_behind(host: BootedHost, layout: Path) -> None:
    etc = next((host.root / "ostree/deploy/default/deploy").glob("*.0")) / "etc"
    (etc / "kept").touch()
    os.mkfifo(etc / "pipe")
    write_image(layout, version="2")
    finished = host.bootc("upgrade")
    assert finished.returncode == 0, finished.stderr
    notes = [line for line in finished.stderr.splitlines() if "/etc/" in line]
    assert notes == ["/etc/pipe is a special file; it will not be in the new deployment"]
    host.reboot()
    checksum = host.status()["status"]["booted"]["ostree"]["checksum"]
    names = {each.name for each in (etc.parent.parent / f"{checksum}.0/etc").iterdir()}
    assert "kept" in names
    assert "pipe" not in names


def test_upgrade_refuses_a_missing_image(host: BootedHost, layout: Path) -> None:
    (layout / "index.json").unlink()
    hint = "check the path, and whether its disk is mounted"
    assert str(layout) in refusal(host, "upgrade", hint=hint)


def test_upgrade_refuses_what_rpm_ostree_layered_on(host: BootedHost) -> None:
    origin = next((host.root / "ostree/deploy/default/deploy").glob("*.origin"))
    with origin.open("a", encoding="utf-8") as file:
        file.write("[packages]\nrequested=vim;\n")
    message = refusal(
        host, "upgrade", hint="`bootc switch IMAGE` stages an image without these modifications"
    )
    assert message.startswith("Deployment contains local rpm-ostree modif")


@pytest.mark.parametrize("target", ["os-release.d/test", "../share/test"])
def test_upgrade_takes_an_os_release_that_is_a_link(
    host: BootedHost, layout: Path, target: str
) -> None:
    """The shutdown must find the title that staging found."""
    files: dict[str, Node] = {"usr/lib/os-release": (target,)}
    files |= dict.fromkeys(("usr/lib/os-release.d/test", "usr/share/test"), "ID=linked\n")
    digest = write_image(layout, [BASE | files], version="2")
    answer(host, "upgrade")
    host.reboot()
    assert digests(host)["booted"] == digest
