"""Images whose links lead out of them: what is outside is neither written nor copied."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.layers import Member, directory, file, symlink
from tests.system.support.boot_files import IN_CONTAINER, loader_members
from tests.system.support.disks import (
    holds,
    install,
    leftovers,
    new_disk_file,
    require_refused,
    small_system,
    wait_for,
)
from tests.system.support.oci_images import LayerBlob, OciDirectory

pytestmark = IN_CONTAINER

SECRET = b"bootcpy-test: what only the host has\n"
TMPFILES = "etc/tmpfiles.d"
SHIM, GRUB = "usr/lib/shim", "usr/lib/grub/x86_64-efi-signed"
GRUB_PC = "usr/lib/grub/i386-pc"
MODULES = "usr/lib/modules"
OUT = "{outside}"
UP = "../" * 20 + "{outside}"


@dataclass(frozen=True)
class Trick:
    """Links by name, `{outside}` being a directory of the host; and what comes of them."""

    links: dict[str, str]
    refusal: str | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    grub: bool = False  # installed with the boot loader

    def layer(self, outside: Path) -> LayerBlob:
        links = {name: target.format(outside=outside) for name, target in self.links.items()}
        parents = {
            str(parent): None
            for name in (*links, *self.files)
            for parent in reversed(Path(name).parents)
            if str(parent) != "."
        }
        members: list[Member] = [directory(parent) for parent in parents]
        members += [symlink(name, target) for name, target in links.items()]
        members += [file(name, content) for name, content in self.files.items()]
        return LayerBlob.of(*members)


TRICKS = {
    "tmpfiles.d, absolute": Trick({TMPFILES: OUT}, "it is a symbolic link"),
    "tmpfiles.d, relative": Trick({TMPFILES: UP}, "it is a symbolic link"),
    "tmpfiles.d, inside": Trick({TMPFILES: "../usr"}, "it is a symbolic link"),
    "tmpfiles.d, a file": Trick({}, "Not a directory", files={TMPFILES: b""}),
    "the temporary": Trick({f"{TMPFILES}/.bootc-root-ssh.conf.new": f"{OUT}/file"}),
    "a directory": Trick({}, "Is a directory", files={f"{TMPFILES}/bootc-root-ssh.conf/x": b""}),
    "root, two lines": Trick(
        {"root": "x\nf+ /etc/evil - - - - evil"}, "link /root leads to 'x\\nf+"
    ),
    "root, up": Trick({"root": "../../etc"}, "link /root leads to '../../etc'"),
    "root, a specifier": Trick({"root": "%h"}, "link /root leads to '%h'"),
    "shim": Trick({f"{SHIM}/shimx64.efi.signed": f"{OUT}/file"}, f"file /{SHIM}/shim", grub=True),
    "shim, relative": Trick(
        {f"{SHIM}/shimx64.efi.signed": f"{UP}/file"}, f"file /{SHIM}/shim", grub=True
    ),
    "grub": Trick({f"{GRUB}/grubx64.efi.signed": f"{OUT}/grub"}, f"file /{GRUB}/grub", grub=True),
    "list of entries": Trick({f"{SHIM}/BOOTX64.CSV": f"{OUT}/file"}, grub=True),
    "fallback": Trick({f"{SHIM}/fbx64.efi.signed": f"{OUT}/file"}, grub=True),
    "GRUB's module": Trick(
        {f"{GRUB_PC}/normal.mod": f"/{GRUB_PC}/normal.mod"}, "no core image", grub=True
    ),
    "GRUB's boot code": Trick({f"{GRUB_PC}/boot.img": f"{OUT}/file"}, grub=True),
}


@pytest.fixture(scope="module")
def loader() -> LayerBlob:
    return LayerBlob.of(*loader_members())


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS.keys())
def test_links_of_an_image_lead_nowhere_outside(
    tmp_path: Path, loader: LayerBlob, trick: Trick
) -> None:
    outside, keys = tmp_path / "outside", tmp_path / "keys"
    outside.mkdir()
    (outside / "file").write_bytes(SECRET)
    (outside / "grub").write_bytes(SECRET + b"/EFI/debian\0")
    keys.write_text("ssh-ed25519 AAAA me\n", encoding="ascii")
    before = {path.name: path.read_bytes() for path in outside.iterdir()}
    mounts = leftovers()
    layers = [small_system(), *([loader] if trick.grub else []), trick.layer(outside)]
    image = OciDirectory(tmp_path / "oci").add_image(layers)
    disk = new_disk_file(tmp_path / "disk.img")
    done = install(
        *("--source-imgref", str(image), "--filesystem", "ext4", "--via-loopback"),
        *("--bootloader", "grub" if trick.grub else "none"),
        *("--root-ssh-authorized-keys", keys, disk),
    )
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == before
    wait_for(lambda: leftovers() == mounts, 30)
    assert not holds(disk, SECRET.strip())
    if trick.refusal is None:
        assert done.returncode == 0, done.stderr
        return
    error, advice = done.stderr.splitlines()[-2:]
    assert error.startswith("error: ")
    assert trick.refusal in error
    assert error.isprintable()
    assert advice.startswith("hint: ")
    assert done.returncode == 1


def test_a_refusal_of_the_tree_names_no_foreign_lines(tmp_path: Path) -> None:
    """A kernel whose name would break the boot entry is refused before the disk is touched."""
    kernel = "usr/lib/modules/6.1 test"
    layer = LayerBlob.of(
        directory(kernel),
        file(f"{kernel}/vmlinuz", b"x"),
        file(f"{MODULES}/.wh.6.1.0-test"),
    )
    image = OciDirectory(tmp_path / "oci").add_image([small_system(), layer])
    disk = new_disk_file(tmp_path / "disk.img")
    done = install("--source-imgref", str(image), "--bootloader", "none", "--via-loopback", disk)
    hint = "use a shorter name without spaces for its directory in /usr/lib/modules"
    require_refused(done, "the kernel's version '6.1 test' has characters", hint)
    assert disk.stat().st_blocks == 0
