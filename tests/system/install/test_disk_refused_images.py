"""Images that `install to-disk` refuses, all of them before a byte is written."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.layers import (
    device,
    directory,
    file,
    hardlink,
    noise,
    sha256,
    symlink,
    whiteout,
)
from tests.system.support.disks import (
    initramfs,
    install,
    leftovers,
    require_refused,
    small_system,
    tool,
    wait_for,
    words_for,
)
from tests.system.support.oci_images import LayerBlob, OciDirectory

_PREPARE = "build the image with `RUN bootc container prepare` as its last step"
_ONE_KERNEL = "an image boots exactly one kernel; see bootc container prepare"
_CORRUPT = "the image is corrupt; pull, copy or build it again"
_HOSTILE = "the image is malformed or hostile; do not use it"


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        (
            {"labels": {}},
            "it has no label containers.bootc",
            "build it from a bootable base, or add LABEL containers.bootc=1",
        ),
        (
            {"architecture": "s390x"},
            "has architecture s390x; expected",
            "pull or build the image for this machine's architecture",
        ),
    ],
    ids=["label", "architecture"],
)
def test_images_that_are_no_systems(
    tmp_path: Path, disk_file: Path, changes: dict[str, str], message: str, hint: str
) -> None:
    reference = OciDirectory(tmp_path / "oci").add_image([small_system()], **changes)  # type: ignore[arg-type]  # one of two keywords
    before = leftovers()
    done = install(*words_for(str(reference), disk_file, "--via-loopback"))
    require_refused(done, message, hint)
    assert disk_file.stat().st_blocks == 0
    wait_for(lambda: leftovers() == before, 30)


KERNEL = "usr/lib/modules/6.1.0-test"
OTHER_KERNEL = (directory("usr/lib/modules/6.2"), file("usr/lib/modules/6.2/vmlinuz", b"x"))


def _with_wrong_digest() -> LayerBlob:
    return replace(LayerBlob.of(file("usr/x")), claimed=sha256(b"something else"))


def _with_wrong_diff_id() -> LayerBlob:
    return replace(LayerBlob.of(file("usr/x")), diff_id=sha256(b"something else"))


def _truncated() -> LayerBlob:
    whole = LayerBlob.of(file("usr/x", noise(1, 100_000)))
    return replace(whole, blob=whole.blob[:50_000])


@pytest.mark.parametrize(
    ("layer", "message", "hint"),
    [
        (_with_wrong_digest(), "is not what the manifest says: corrupted blob", _CORRUPT),
        (
            _with_wrong_diff_id(),
            "diff_id",
            "the image is corrupt or was tampered with; pull or build it again",
        ),
        (_truncated(), "the layer is truncated", _CORRUPT),
        (LayerBlob.of(file("../etc/passwd")), "leaves the tree: '../etc/passwd'", _HOSTILE),
        (LayerBlob.of(symlink("usr/x", "/etc"), file("usr/x/y")), "contradicts itself", _HOSTILE),
        (
            LayerBlob.of(hardlink("usr/x", "/etc/shadow")),
            "'usr/etc/shadow', which the layer lacks",
            _HOSTILE,
        ),
        (
            LayerBlob.of(device("usr/null")),
            "'usr/null' (a character device)",
            "remove it from the image; a line in tmpfiles.d can create it at boot",
        ),
        (LayerBlob.of(whiteout(KERNEL)), "has no kernel in /usr/lib/modules", _ONE_KERNEL),
        (
            LayerBlob.of(*OTHER_KERNEL),
            "has more than one kernel: 6.1.0-test, 6.2",
            _ONE_KERNEL,
        ),
        (
            LayerBlob.of(whiteout(f"{KERNEL}/initramfs.img")),
            "has no initramfs for its kernel",
            _PREPARE,
        ),
    ],
    ids=[
        "digest",
        "diff-id",
        "truncated",
        "dot-dot",
        "link-as-directory",
        "link-outside",
        "device-node",
        "no-kernel",
        "two-kernels",
        "no-initramfs",
    ],
)
def test_local_images_are_read_through_first(
    tmp_path: Path, disk_file: Path, layer: LayerBlob, message: str, hint: str
) -> None:
    reference = OciDirectory(tmp_path / "oci").add_image([small_system(), layer])
    before = leftovers()
    done = install(*words_for(str(reference), disk_file, "--via-loopback"))
    require_refused(done, message, hint)
    assert disk_file.stat().st_blocks == 0
    wait_for(lambda: leftovers() == before, 30)


def test_truncated_archive(tmp_path: Path, disk_file: Path, image: str) -> None:
    archive = tmp_path / "os.tar"
    tool("skopeo", "copy", "--quiet", image, f"oci-archive:{archive}")
    os.truncate(archive, archive.stat().st_size // 2)
    done = install(*words_for(f"oci-archive:{archive}", disk_file, "--via-loopback"))
    require_refused(done, f"oci-archive:{archive} is truncated", "copy or download it again")
    assert disk_file.stat().st_blocks == 0


def test_policy_that_refuses(image: str, tmp_path: Path, disk_file: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"default": [{"type": "reject"}]}', encoding="utf-8")
    env = {"CONTAINERS_POLICY_JSON": str(policy)}
    done = install(*words_for(image, disk_file, "--via-loopback"), env=env)
    require_refused(
        done,
        f"is rejected by {policy}, which demands ",
        "sign the image as that policy demands, or correct the policy",
    )
    assert disk_file.stat().st_blocks == 0


# Each makes the container's own root, in a mount namespace of the command, lack something.
_FAKE_KERNELS = """
    mount -t tmpfs tmpfs /usr/lib/modules
    for version in $VERSIONS; do
        mkdir /usr/lib/modules/$version
        echo kernel > /usr/lib/modules/$version/vmlinuz
    done
"""
_COMPOSEFS_CONF = """
    printf '[composefs]\\nenabled = yes\\n' > /run/prepare-root.conf
    mount --bind /run/prepare-root.conf /usr/lib/ostree/prepare-root.conf
"""


@pytest.mark.parametrize(
    ("script", "message", "hint"),
    [
        (
            "VERSIONS=''" + _FAKE_KERNELS,
            "the image has no kernel",
            f"install a kernel, then {_PREPARE}",
        ),
        (
            "VERSIONS='6.1 6.12'" + _FAKE_KERNELS,
            "the image has more than one kernel: 6.1, 6.12",
            "remove all but one; an image boots exactly one",
        ),
        ("VERSIONS=6.1" + _FAKE_KERNELS, "the image has no initramfs", _PREPARE),
        (
            "VERSIONS=6.1" + _FAKE_KERNELS + 'cp "$INITRAMFS" /usr/lib/modules/6.1/initramfs.img',
            "lacks ostree-prepare-root",
            _PREPARE,
        ),
        (
            "mount -t tmpfs tmpfs /usr/lib/ostree",
            "the image has no ostree/prepare-root.conf",
            _PREPARE,
        ),
        (
            _COMPOSEFS_CONF,
            "the image requires composefs, but this libostree",
            "set `enabled = no` below [composefs] in ostree/prepare-root.conf",
        ),
        (
            "mount -t tmpfs tmpfs /usr/lib/shim",
            "shim",
            (
                "install shim-signed and the signed grub-efi package in the image, "
                "or use --bootloader none"
            ),
        ),
    ],
    ids=["none", "two", "no-initramfs", "no-prepare-root", "no-conf", "composefs", "no-shim"],
)
def test_own_image(tmp_path: Path, disk_file: Path, script: str, message: str, hint: str) -> None:
    other = tmp_path / "initramfs.img"
    other.write_bytes(initramfs("usr/bin/other"))
    prefix = ("unshare", "--mount", "sh", "-ec", f'{script}\nexec "$@"', "sh")
    env = {"INITRAMFS": str(other)}
    done = install("--via-loopback", disk_file, prefix=prefix, env=env)
    require_refused(done, message, hint)
    assert disk_file.stat().st_blocks == 0
