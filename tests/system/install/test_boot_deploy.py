"""A mounted root becomes a system that boots: real libostree, real skopeo, real boot loader."""

import json
import stat
import subprocess
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bootcpy.errors import BootcpyError, DeploymentError, ImageContentError
from bootcpy.model.base.progress import Silent
from bootcpy.model.boot.kargs import KernelArguments
from bootcpy.model.boot.loader import Bootloader
from bootcpy.model.image.reference import SignedImageReference
from bootcpy.model.install.plan import DeployPlan
from bootcpy.model.install.target_tree import BiosBoot, TargetTree
from bootcpy.ostree.base.commit_tree import CommitTree
from bootcpy.ostree.host import sysroot
from bootcpy.system.boot import boot_facts
from bootcpy.system.files.directory_tree import DirectoryTree
from bootcpy.system.image import skopeo
from bootcpy.verbs.install.to_filesystem import populate
from tests.refusals import refused
from tests.system.support.boot_files import (
    IN_CONTAINER,
    KERNEL,
    MIB,
    cpio,
    loader_members,
    make_disk,
    make_esp,
    members,
    mounted,
)
from tests.system.support.oci_images import LayerBlob, OciDirectory

pytestmark = IN_CONTAINER

UUID = "0fb2a6a1-3d0c-4c3f-9d3e-0a5a0d3c1b2a"
FOLLOWS = SignedImageReference.parse("ostree-unverified-registry:example.com/os:13")
KEY = "ssh-ed25519 AAAA me\n"


@dataclass
class Machine:
    """A target without a system, and images to put onto it."""

    target: TargetTree
    images: OciDirectory

    def install(
        self,
        changes: Mapping[str, bytes | None] | None = None,
        *,
        loader: bool = True,
        **plan: object,
    ) -> None:
        layers = [LayerBlob.of(*members(changes))]
        if loader:
            layers.append(LayerBlob.of(*loader_members()))
        source = self.images.add_image(layers)
        with skopeo.opened(source) as image:
            wanted = DeployPlan(
                source=source,
                follows=FOLLOWS,
                manifest_digest=image.manifest_digest,
                machine="x86_64",
                kargs=KernelArguments(root=(f"root=UUID={UUID}", "rw"), command_line=('it="a b"',)),
                generic_image=True,
            )
            populate(self.target, replace(wanted, **plan), image, Silent())  # type: ignore[arg-type]

    @property
    def root(self) -> Path:
        return self.target.root

    @property
    def deployment(self) -> Path:
        (found,) = (self.root / "ostree/deploy/default/deploy").glob("*.0")
        return found

    @property
    def menu(self) -> str:
        return (self.root / "boot/grub/grub.cfg").read_text(encoding="utf-8")


@pytest.fixture
def machine(tmp_path: Path) -> Generator[Machine]:
    disk = make_disk(tmp_path / "disk.img")
    with mounted(tmp_path) as root:
        target = TargetTree(
            root=root,
            root_uuid=UUID,
            disk=disk,
            esp=make_esp(tmp_path / "esp.img"),
            bios_boot=BiosBoot(disk=disk, start_bytes=MIB, size_bytes=MIB, sector_bytes=512),
        )
        yield Machine(target, OciDirectory(tmp_path / "images"))


def config(root: Path) -> str:
    return (root / "ostree/repo/config").read_text(encoding="utf-8")


def test_populate_lays_out_the_physical_root(machine: Machine) -> None:
    machine.install()
    assert sorted(path.name for path in machine.root.iterdir() if path.name != "lost+found") == [
        ".bootc-aleph.json",
        "boot",
        "ostree",
    ]
    for line in ("mode=bare", "bootloader=grub2", "bootprefix=true", "readonly=true"):
        assert f"{line}\n" in config(machine.root)
    assert "fsync" not in config(machine.root)
    aleph = json.loads((machine.root / ".bootc-aleph.json").read_text(encoding="utf-8"))
    assert aleph["target-image"] == "example.com/os:13"
    assert aleph["version"] == "13.1"
    assert (machine.root / "ostree/bootc").is_dir()
    origin = machine.deployment.with_name(f"{machine.deployment.name}.origin")
    assert origin.read_text(encoding="utf-8") == (
        "[origin]\ncontainer-image-reference=ostree-unverified-registry:example.com/os:13\n"
    )
    subprocess.run(["ostree", "fsck", "-q", f"--repo={machine.root}/ostree/repo"], check=True)


def test_populate_writes_a_menu_that_boots_the_deployment(machine: Machine) -> None:
    machine.install()
    (kernel,) = machine.root.glob("boot/ostree/default-*/vmlinuz-6.12.0-test")
    linux = next(line for line in machine.menu.splitlines() if line.startswith("  linux "))
    path = f"/{kernel.relative_to(machine.root)}"
    checksum = kernel.parent.name.removeprefix("default-")
    assert linux == (
        f"  linux '{path}' 'root=UUID={UUID}' 'rw' 'it=a b' 'console=ttyS0' "
        f"'ostree=/ostree/boot.1/default/{checksum}/0'"
    )
    link = machine.root / f"ostree/boot.1/default/{checksum}/0"
    assert link.resolve() == machine.deployment.resolve()
    subprocess.run(["grub-script-check"], input=machine.menu, text=True, check=True)


def test_populate_writes_both_ways_to_start(machine: Machine) -> None:
    machine.install()
    command = ["mtype", "-i", str(machine.target.esp), "::/EFI/debian/grub.cfg"]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={"MTOOLS_SKIP_CHECK": "1"}
    )
    assert f"search.fs_uuid {UUID} root\n" in done.stdout
    assert machine.target.disk.read_bytes()[:2] == b"\xeb\x63"


def test_populate_without_bootloader_leaves_the_entries_only(machine: Machine) -> None:
    machine.install(loader=False, bootloader=Bootloader.NONE)
    assert "bootloader=none\n" in config(machine.root)
    assert not (machine.root / "boot/grub").exists()
    assert [path.name for path in machine.root.glob("boot/loader/entries/*")] == ["ostree-1.conf"]
    assert machine.target.disk.read_bytes()[:2] == b"\0\0"


def test_populate_configures_the_deployment(machine: Machine) -> None:
    machine.install(
        boot_fstab="UUID=abcd /boot auto ro 0 0",
        root_ssh_authorized_keys=KEY,
        bls_append_except_default='grub_users=""',
    )
    etc = machine.deployment / "etc"
    assert (etc / "fstab").read_text(encoding="utf-8") == "UUID=abcd /boot auto ro 0 0\n"
    keys = etc / "tmpfiles.d/bootc-root-ssh.conf"
    assert keys.read_text(encoding="utf-8").startswith("f~ /var/roothome/.ssh/authorized_keys 600")
    assert stat.S_IMODE(keys.stat().st_mode) == 0o644
    assert 'bls-append-except-default=grub_users=""\n' in config(machine.root)
    shipped = machine.deployment / "usr/etc/fstab"
    assert shipped.read_text(encoding="utf-8") == "# none\n"


def test_populate_keeps_the_images_fstab_without_a_boot_partition(machine: Machine) -> None:
    machine.install()
    assert (machine.deployment / "etc/fstab").read_text(encoding="utf-8") == "# none\n"
    assert not (machine.deployment / "etc/tmpfiles.d").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({f"{KERNEL}/vmlinuz": None}, "no kernel"),
        ({"usr/lib/modules/6.13/vmlinuz": b"other"}, r"more than one kernel: 6\.12\.0-test, 6\.13"),
        ({f"{KERNEL}/initramfs.img": None}, r"initramfs\.img is missing"),
        ({f"{KERNEL}/initramfs.img": cpio("init")}, "lacks ostree-prepare-root"),
        ({"usr/lib/ostree/prepare-root.conf": None}, r"prepare-root\.conf"),
        ({"usr/lib/os-release": None}, "os-release"),
        ({"etc/ostree/prepare-root.conf": b"[composefs]\nenabled=yes\n"}, "requires composefs"),
    ],
)
def test_populate_refuses_an_image_that_would_not_boot(
    machine: Machine, changes: Mapping[str, bytes | None], message: str
) -> None:
    with pytest.raises(ImageContentError, match=message):
        machine.install(changes, loader=False)
    assert not list(machine.root.glob("ostree/deploy/*"))
    assert not (machine.root / "boot/loader").exists()


def test_populate_leaves_bound_images_out_only_when_told_to(machine: Machine) -> None:
    binds: dict[str, bytes | None] = {"usr/lib/bootc/bound-images.d/app.image": b"[Image]\n"}
    hint = "add --bound-images=skip to install without them"
    with refused(BootcpyError, r"binds other images \(app\.image\)", hint=hint):
        machine.install(binds)
    assert not list(machine.root.glob("ostree/deploy/*"))
    machine.install(binds, skip_bound_images=True)
    assert machine.deployment.is_dir()


def test_boot_facts_are_the_same_in_the_commit_and_deployed(machine: Machine) -> None:
    machine.install({"etc/ostree/prepare-root.conf": b"[etc]\ntransient = false\n"})
    commit = machine.deployment.name.removesuffix(".0")
    facts = boot_facts.read(CommitTree(machine.root / "ostree/repo", commit))
    assert facts == boot_facts.read(DirectoryTree(machine.deployment))
    assert facts.kernels == ("6.12.0-test",)
    assert facts.prepare_root_conf == "[etc]\ntransient = false\n"


def test_deploy_again_puts_the_new_deployment_first(machine: Machine) -> None:
    machine.install()
    commit = machine.deployment.name.removesuffix(".0")
    second = sysroot.deploy(
        machine.root, commit, stateroot="default", origin=FOLLOWS, kargs=["rw", "second"]
    )
    assert second.name == f"{commit}.1"
    entries = [line for line in machine.menu.splitlines() if line.startswith("menuentry")]
    assert ["--id 'ostree-2'" in entries[0], "--id 'ostree-1'" in entries[1]] == [True, True]
    linux = [line for line in machine.menu.splitlines() if line.startswith("  linux ")]
    assert ["'second'" in line for line in linux] == [True, False]
    assert "set default='ostree-2'\nset fallback='1'\n" in machine.menu


def test_locked_refuses_while_another_holds_the_lock(machine: Machine) -> None:
    machine.install(loader=False, bootloader=Bootloader.NONE)
    with (
        sysroot.locked(machine.root),
        refused(DeploymentError, "is locked by another program", hint="wait for it to finish"),
        sysroot.locked(machine.root),
    ):
        pass
