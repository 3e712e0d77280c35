from dataclasses import replace
from pathlib import Path

import pytest

from bootcpy.errors import ImageContentError
from bootcpy.model.boot.bootable import (
    BootFacts,
    os_release,
    prepare_root_conf,
    protects_toplevel,
    require_bootable,
    require_bootable_tree,
    requires_composefs,
)
from bootcpy.model.image.oci import ImageConfig
from tests.refusals import refused
from tests.unit.model.image.trees import Link, TreeInMemory

_ONE_KERNEL = "remove all but one; an image boots exactly one"
_PREPARE = "build the image with `RUN bootc container prepare` as its last step"
_WRITE_TITLE = 'write PRETTY_NAME="..." into /usr/lib/os-release, as UTF-8; see os-release(5)'
_OTHER_KERNEL = "use a shorter name without spaces for its directory in /usr/lib/modules"

GOOD = BootFacts(
    kernels=("6.12.1",),
    has_initramfs=True,
    has_prepare_root=True,
    prepare_root_conf="[sysroot]\nreadonly = true\n",
    os_release=b"ID=test\n",
    has_etc=True,
)


def config(labels: dict[str, str]) -> ImageConfig:
    return ImageConfig(architecture="amd64", labels=labels, diff_ids=(), created=None)


@pytest.mark.parametrize("label", ["containers.bootc", "ostree.bootable"])
@pytest.mark.parametrize("value", ["1", "true", ""])
def test_require_bootable_takes_either_label_with_any_value(label: str, value: str) -> None:
    require_bootable(config({label: value}), machine="x86_64", name="a")


@pytest.mark.parametrize(
    ("labels", "machine", "message", "hint"),
    [
        (
            {},
            "x86_64",
            "oci:/a is not a bootable image",
            "build it from a bootable base, or add LABEL containers.bootc=1",
        ),
        (
            {"containers.bootc": "1"},
            "aarch64",
            "architecture amd64; expected arm64",
            "pull or build the image for this machine's architecture",
        ),
        (
            {"containers.bootc": "1"},
            "vax",
            "architecture amd64; expected vax",
            "pull or build the image for this machine's architecture",
        ),
    ],
)
def test_require_bootable_refuses(
    labels: dict[str, str], machine: str, message: str, hint: str
) -> None:
    with refused(ImageContentError, message, hint=hint):
        require_bootable(config(labels), machine=machine, name="oci:/a")


def test_require_bootable_tree_returns_the_kernel() -> None:
    assert require_bootable_tree(GOOD, composefs_supported=False) == "6.12.1"


@pytest.mark.parametrize(
    ("facts", "message", "hint"),
    [
        (
            replace(GOOD, kernels=()),
            "the image has no kernel",
            f"install a kernel, then {_PREPARE}",
        ),
        (replace(GOOD, kernels=("6.1", "6.2")), "more than one kernel: 6.1, 6.2", _ONE_KERNEL),
        (
            replace(GOOD, has_initramfs=False),
            r"modules/6\.12\.1/initramfs\.img is missing",
            _PREPARE,
        ),
        (
            replace(GOOD, has_prepare_root=False),
            r"initramfs of kernel 6\.12\.1 lacks ostree-prep",
            _PREPARE,
        ),
        (replace(GOOD, prepare_root_conf=None), r"no ostree/prepare-root\.conf", _PREPARE),
        (
            replace(GOOD, has_etc=False),
            "the image has no directory /etc",
            "create /etc in the image, even if it is empty",
        ),
        (
            replace(GOOD, os_release=None),
            "no os-release in /usr/lib or /etc",
            "install the package base-files",
        ),
        (replace(GOOD, os_release=b""), "os-release has no PRETTY_NAME or ID", _WRITE_TITLE),
        (
            replace(GOOD, os_release=b'# ID=x\nPRETTY_NAME="x\n ID=x\nPRETTY_NAMES=x'),
            "no PRETTY",
            _WRITE_TITLE,
        ),
        (replace(GOOD, os_release=b"ID=x'"), "os-release has no PRETTY_NAME or ID", _WRITE_TITLE),
        (
            replace(GOOD, os_release=b'ID="x\\"'),
            "os-release has no PRETTY_NAME or ID",
            _WRITE_TITLE,
        ),
        (
            replace(GOOD, os_release=b"ID=x\nNAME=M\xfcller\n"),
            "os-release is not UTF-8 text",
            _WRITE_TITLE,
        ),
        (replace(GOOD, os_release=b"ID=x\0\n"), "os-release has a NUL", _WRITE_TITLE),
        (replace(GOOD, kernels=("6.1 test",)), "version '6.1 test' has characters", _OTHER_KERNEL),
        (replace(GOOD, kernels=("6.1\n",)), r"version '6\.1\\n' has characters", _OTHER_KERNEL),
        (
            replace(GOOD, kernels=("6\u00a01",)),
            "has characters that a boot entry cannot have",
            _OTHER_KERNEL,
        ),
        (replace(GOOD, kernels=("a/b",)), "version 'a/b' has characters", _OTHER_KERNEL),
        (replace(GOOD, kernels=("6" * 242,)), "is longer than 241 bytes", _OTHER_KERNEL),
        (replace(GOOD, kernels=("ü" * 121,)), "is longer than 241 bytes", _OTHER_KERNEL),
        (
            replace(GOOD, kernels=tuple(f"{n:06}" for n in range(100_001))),
            "more than one kernel: 000000, 000001, 000002, 000003, 000004 and 99,996 more$",
            _ONE_KERNEL,
        ),
        (
            replace(GOOD, prepare_root_conf="[composefs]\nenabled=yes\n"),
            "requires composefs",
            "set `enabled = no` below [composefs] in ostree/prepare-root.conf",
        ),
        (
            replace(GOOD, prepare_root_conf="enabled=yes\n"),
            r"prepare-root\.conf is malformed",
            "build or pull the image again",
        ),
    ],
)
def test_require_bootable_tree_refuses(facts: BootFacts, message: str, hint: str) -> None:
    with refused(ImageContentError, message, hint=hint):
        require_bootable_tree(facts, composefs_supported=False)


def test_require_bootable_tree_takes_composefs_where_it_is_supported() -> None:
    facts = replace(GOOD, prepare_root_conf="[composefs]\nenabled = signed\n")
    assert require_bootable_tree(facts, composefs_supported=True) == "6.12.1"


@pytest.mark.parametrize(
    "content",
    [
        b"ID=",
        b"PRETTY_NAME='T \xc3\xbc' \"x\"\n",
        b'ID="broken\nPRETTY_NAME="a \\" b"',
        b"ID=a\\",
    ],
)
def test_require_bootable_tree_takes_what_libostree_makes_a_title_of(content: bytes) -> None:
    facts = replace(GOOD, os_release=content, kernels=("6" * 241,))
    assert require_bootable_tree(facts, composefs_supported=False) == "6" * 241


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("yes", True),
        ("true", True),
        ("1", True),
        ("signed", True),
        ("verity", True),
        ("Yes", True),
        ("no", False),
        ("false", False),
        ("0", False),
        ("maybe", False),
        ("", False),
    ],
)
def test_requires_composefs(value: str, *, expected: bool) -> None:
    text = f"# comment\n[root]\ntransient=no\n[composefs]\nenabled = {value}\n"
    assert requires_composefs(text) is expected


@pytest.mark.parametrize("text", ["", "[composefs]\n", "[sysroot]\nreadonly=true\n"])
def test_requires_composefs_is_off_by_default(text: str) -> None:
    assert not requires_composefs(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ("[composefs]\nenabled = no\n", False),
        ("[composefs]\nenabled = maybe\n", True),
        ("[composefs]\nenabled = Signed\n", True),
        ("[root]\ntransient = true\n", True),
        ("[root]\ntransient = false\n", False),
        ("[etc]\ntransient = true\n", False),
    ],
)
def test_protects_toplevel(text: str, *, expected: bool) -> None:
    assert protects_toplevel(text) is expected


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, None),
        ({"usr/lib/os-release": b"vendor", "usr/etc/os-release": b"etc"}, b"vendor"),
        ({"usr/etc/os-release": b"etc"}, b"etc"),
        ({"usr/lib/os-release": Link("os.d/mine"), "usr/lib/os.d/mine": b"linked"}, b"linked"),
        ({"usr/lib/os-release": Link("../etc/os-release"), "usr/etc/os-release": b"x"}, b"x"),
        ({"usr/lib/os-release": Link("/usr/lib/y"), "usr/lib/y": b"the host's"}, None),
        ({"usr/lib/os-release": Link("../../../usr/lib/y"), "../usr/lib/y": b"the host's"}, None),
        ({"usr/lib/os-release": Link("os-release")}, None),
    ],
)
def test_os_release_is_what_libostree_finds(
    files: dict[str, bytes | Link], found: bytes | None
) -> None:
    assert os_release(TreeInMemory(files)) == found


def test_prepare_root_conf_is_the_first_there_is() -> None:
    files: dict[str, bytes | Link] = {
        "etc/ostree/prepare-root.conf": Link("../usr/lib"),
        "usr/etc/ostree/prepare-root.conf": b"machine \xff",
        "usr/lib/ostree/prepare-root.conf": b"vendor",
    }
    tree, bases = TreeInMemory(files), [Path("etc"), Path("usr/etc"), Path("usr/lib")]
    assert prepare_root_conf(tree, bases=bases) == "machine \ufffd"
    assert prepare_root_conf(tree, bases=bases[2:]) == "vendor"
    assert prepare_root_conf(tree, bases=bases[:1]) is None
