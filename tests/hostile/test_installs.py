"""Installations of odd images, and onto odd disks: nothing outside the disk changes."""

import subprocess
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

import pytest

from tests.hostile.ground import Ground, Row, Words
from tests.hostile.images import BASE, KERNEL, Blob, Layout, layer, tree
from tests.layers import Member, directory, file, symlink
from tests.system.support.disks import new_disk_file


def _row(
    name: str,
    refused: str,
    *members: Member,
    files: dict[str, bytes | None] | None = None,
    options: Sequence[str] = (),
    key: bytes | None = None,
    status: int = 1,
    once: str = "",
) -> Row:
    """Return a row that installs an odd image; `CANARY` in links is a place outside."""

    def words(ground: Ground, place: Path) -> Words:
        made = [_out(member, str(ground.base / "canary")) for member in members]
        layout = Layout((layer(*tree(files or {}), *made),)).write(place / "image")
        more = list(options)
        if key is not None:
            (place / "key").write_bytes(key)
            more.append(f"--root-ssh-authorized-keys={place}/key")
        return _install(layout, new_disk_file(place / "disk.img"), *more)

    return Row(id=name, words=words, refused=refused, status=status, once=once)


def _install(layout: Path, disk: Path, *options: str) -> Words:
    usual = ["--filesystem=ext4", "--bootloader=none", "--via-loopback", "--generic-image"]
    return ["install", "to-disk", f"--source-imgref=oci:{layout}", *usual[:3], *options, disk]


def _out(member: Member, canary: str) -> Member:
    if "CANARY" in member.header.linkname:
        member.header.linkname = member.header.linkname.replace("CANARY", canary)
    return member


_KEY = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh test\n"
_WROTE = "wrote outside the disk"

_IMAGES = [
    _row("good", ""),
    _row(
        "tmpfiles.d-out", "tmpfiles.d", symlink("etc/tmpfiles.d", "CANARY"), key=_KEY, once=_WROTE
    ),
    _row(
        "tmpfiles.d-up",
        "tmpfiles.d",
        symlink("etc/tmpfiles.d", "../../../../../../../../CANARY"),
        key=_KEY,
        once=_WROTE,
    ),
    _row("tmpfiles.d-file", ".", files={"etc/tmpfiles.d": b"x"}, key=_KEY, once="a traceback"),
    _row(
        "tmpfiles.d-entry-out",
        "",
        directory("etc/tmpfiles.d"),
        symlink("etc/tmpfiles.d/bootc-root-ssh.conf", "CANARY/file"),
        key=_KEY,
        once=_WROTE,
    ),
    _row(
        "tmpfiles.d-temporary-out",
        "",
        directory("etc/tmpfiles.d"),
        symlink("etc/tmpfiles.d/.bootc-root-ssh.conf.new", "CANARY/file"),
        key=_KEY,
        once=_WROTE,
    ),
    _row("root-link-newline", ".", symlink("root", "var/x\nf /etc/forged 0644"), key=_KEY),
    _row("etc-out", "", symlink("etc/ostree", "CANARY")),
    _row(
        "kernel-out",
        "no kernel",
        symlink(f"{KERNEL}/vmlinuz", "CANARY/file"),
        files={f"{KERNEL}/vmlinuz": None},
    ),
    _row("boot-out", "", symlink("boot/efi", "CANARY")),
    _row("kernels-none", "no kernel", files={f"{KERNEL}/vmlinuz": None}),
    _row(
        "kargs.d-escape-in-name", ".", file("usr/lib/bootc/kargs.d/\x1b[31m.toml", b"kargs = 1\n")
    ),
    _row("install-configuration-ignored", "", files={"usr/lib/bootc/install/9.toml": b"<html>"}),
    _row("dot-dot", "leaves the tree", file("../../../../x", b"x")),
    _row("key-empty", "", key=b""),
    _row(
        "root-size-other-digits",
        "size",
        options=["--root-size=\u0663G"],
        status=2,
        once="taken for 3G",
    ),
]


def _disk(
    name: str, table: bytes, refused: str, options: Sequence[str] = (), once: str = ""
) -> Row:
    """Return a row that installs onto a disk with something on it."""

    def words(_ground: Ground, place: Path) -> Words:
        layout = Layout((BASE,)).write(place / "image")
        disk = new_disk_file(place / "disk.img")
        subprocess.run(["sfdisk", "-q", disk], input=table, check=True, capture_output=True)
        return _install(layout, disk, *options)

    return Row(id=name, words=words, refused=refused, once=once)


def _partition(name: str) -> bytes:
    return b'label: gpt\nsize=100MiB, name="' + name.encode() + b'"\n'


_DISKS = [
    _disk("name-escape", _partition("\x1b[31m\x1b[2Jdata"), "is not empty", once="raw escapes"),
    _disk("name-c1", _partition("\x9b31mdata"), "is not empty", once="raw escapes"),
    _disk("name-bidi", _partition("\u202edata"), "is not empty"),
    _disk("name-separator", _partition("\u2028error: forged"), "is not empty"),
    _disk("name-quotes", _partition("a';b"), "is not empty"),
    _disk("partitions-128", b"label: gpt\n" + b"size=1MiB\n" * 128, "is not empty"),
    _disk("dos-table", b"label: dos\nsize=100MiB\n", "is not empty"),
]


def _truncated() -> Row:
    def words(_ground: Ground, place: Path) -> Words:
        cut = Blob(BASE.content[:300], BASE.diff_id)
        layout = Layout((cut,)).write(place / "image")
        return _install(layout, new_disk_file(place / "disk.img"))

    return Row(id="layer-cut", words=words, refused="the layer is (corrupt|truncated)")


@pytest.mark.parametrize("row", [*_IMAGES, *_DISKS, _truncated()], ids=attrgetter("id"))
def test_installs(ground: Ground, row: Row) -> None:
    ground.check(row)
