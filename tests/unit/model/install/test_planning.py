import json
from pathlib import Path

import pytest

from bootcpy.errors import BootcpyError, ConfigurationError, TargetError, UsageError
from bootcpy.model.base.size import GIB, MIB
from bootcpy.model.boot.loader import Bootloader
from bootcpy.model.image.reference import ContainerPolicy, Transport
from bootcpy.model.install.config import InstallConfig, merge_install_config
from bootcpy.model.install.layout import DiskFacts, Filesystem
from bootcpy.model.install.target import TargetState
from tests.refusals import refused
from tests.unit.model.install.plans import DIGEST, EXT4, a_plan, a_request, an_image

_GIVE_TARGET = "give another with --target-imgref"


def config_of(text: str) -> InstallConfig:
    return merge_install_config([("f.toml", f"[install]\n{text}")], "x86_64")


def test_plan_install_follows_the_own_image_by_default() -> None:
    plan = a_plan()
    assert str(plan.deploy.follows) == "ostree-unverified-registry:localhost/os:latest"
    assert plan.deploy.manifest_digest == DIGEST
    assert plan.deploy.stateroot == "default"
    assert plan.deploy.bootloader is Bootloader.GRUB
    assert plan.filesystem is Filesystem.EXT4


def test_plan_install_orders_kernel_arguments() -> None:
    plan = a_plan(
        a_request(kargs=("quiet splash",), karg_deletes=("gone",)),
        config=config_of('root-fs-type = "ext4"\nkargs = ["config=1", "gone"]'),
    )
    root = plan.layout.root.filesystem_id
    assert plan.kargs == (f"root=UUID={root}", "rw", "quiet", "splash", "config=1", "image=1")


def test_plan_install_repeats_itself_when_seeded() -> None:
    assert a_plan() == a_plan()


def test_plan_install_draws_new_uuids_without_a_seed() -> None:
    request = a_request(seed=None)
    assert a_plan(request).layout != a_plan(request).layout


def test_plan_install_takes_the_command_line_before_the_configuration() -> None:
    config = config_of('root-fs-type = "xfs"\nstateroot = "config"\nbootloader = "none"')
    plan = a_plan(
        a_request(filesystem=Filesystem.BTRFS, stateroot="mine", bootloader=Bootloader.GRUB),
        config=config,
    )
    assert plan.filesystem is Filesystem.BTRFS
    assert plan.deploy.stateroot == "mine"
    assert plan.deploy.bootloader is Bootloader.GRUB
    plan = a_plan(config=config)
    assert plan.filesystem is Filesystem.XFS
    assert plan.deploy.stateroot == "config"
    assert plan.deploy.bootloader is Bootloader.NONE


@pytest.mark.parametrize(
    ("request_enforces", "config_text"),
    [(True, ""), (False, "enforce-container-sigpolicy = true")],
    ids=["option", "configuration"],
)
def test_plan_install_enforces_signatures_when_either_asks(
    request_enforces: bool,  # noqa: FBT001 - a case
    config_text: str,
) -> None:
    plan = a_plan(
        a_request(enforce_container_sigpolicy=request_enforces),
        config=config_of(f'root-fs-type = "ext4"\n{config_text}'),
    )
    assert plan.deploy.follows.signature == ContainerPolicy()


def test_plan_install_names_another_target() -> None:
    plan = a_plan(a_request(target_name="/srv/os", target_transport=Transport.OCI))
    assert str(plan.deploy.follows) == "ostree-unverified-image:oci:/srv/os"


def test_plan_install_makes_disk_files_generic() -> None:
    disk = DiskFacts(path="/srv/disk.img", size_bytes=10 * GIB, via_loopback=True)
    assert a_plan(state=TargetState(disk=disk)).deploy.generic_image
    assert not a_plan().deploy.generic_image


def test_plan_install_refuses_without_a_filesystem() -> None:
    with refused(
        ConfigurationError,
        "no install configuration found",
        hint="add --filesystem with one of: xfs, ext4, btrfs",
    ):
        a_plan(config=InstallConfig())
    with pytest.raises(ConfigurationError, match="the install configuration sets none"):
        a_plan(config=config_of('stateroot = "x"'))


def test_plan_install_refuses_block_setups_it_cannot_do() -> None:
    with refused(ConfigurationError, "tpm2-luks is not enabled", hint="enabled there: direct"):
        a_plan(a_request(block_setup="tpm2-luks"))
    enabled = config_of('root-fs-type = "ext4"\nblock = ["tpm2-luks", "direct"]')
    with refused(BootcpyError, "tpm2-luks is not supported yet", hint="use --block-setup direct"):
        a_plan(config=enabled)
    a_plan(a_request(block_setup="direct"), config=enabled)


@pytest.mark.parametrize(
    ("transport", "name", "hint"),
    [
        (Transport.REGISTRY, "quay.io/a b", _GIVE_TARGET),
        (Transport.REGISTRY, "quay.io/a\n", _GIVE_TARGET),
        (
            Transport.REGISTRY,
            "docker://quay.io/a",
            "write it as quay.io/a; --target-transport is for the transport",
        ),
        (Transport.OCI, "/srv/\udcff", _GIVE_TARGET),
    ],
)
def test_plan_install_refuses_targets_that_name_no_image(
    transport: Transport, name: str, hint: str
) -> None:
    with refused(BootcpyError, r"--target-imgref|cannot follow", hint=hint):
        a_plan(a_request(target_name=name, target_transport=transport))


@pytest.mark.parametrize("stateroot", ["a/b", ".", "..", "a b", 'a"', "é", "a\n"])
def test_plan_install_refuses_stateroots_that_are_no_plain_names(stateroot: str) -> None:
    with refused(
        BootcpyError, "cannot be a stateroot", hint="use letters, digits, `.`, `-` and `_`"
    ):
        a_plan(a_request(stateroot=stateroot))


def test_plan_install_refuses_malformed_kernel_arguments() -> None:
    with refused(UsageError, "--karg", hint="write it as key or key=value"):
        a_plan(a_request(kargs=('a="b',)))


def test_plan_install_refuses_a_disk_in_use_before_anything_else() -> None:
    state = TargetState(disk=DiskFacts(path="/dev/vdb", size_bytes=0), parent="/dev/vd")
    with refused(TargetError, "is a partition", hint="give the whole disk: /dev/vd"):
        a_plan(config=InstallConfig(), state=state)


def test_plan_install_refuses_a_disk_file_on_a_full_file_system() -> None:
    disk = DiskFacts(path="/srv/disk.img", size_bytes=10 * GIB, via_loopback=True)
    with refused(
        TargetError,
        r"holds /srv/disk.img has too little room: 1 GiB are",
        hint="free some space there, or put the disk file elsewhere",
    ):
        a_plan(state=TargetState(disk=disk, available_bytes=GIB))
    a_plan(state=TargetState(disk=disk, available_bytes=2 * GIB))


def test_to_json_is_plain_data_with_every_choice() -> None:
    plan = a_plan(a_request(wipe=True), authorized_keys="ssh-ed25519 AAAA")
    document = json.loads(json.dumps(plan.to_json()))
    assert document["disk"] == {
        "path": "/dev/vdb",
        "sizeBytes": 10 * GIB,
        "sectorBytes": 512,
        "model": None,
        "serial": None,
        "viaLoopback": False,
        "contents": [],
        "wipe": True,
    }
    assert [p["role"] for p in document["partitionTable"]["partitions"]] == [
        "bios-boot",
        "esp",
        "root",
    ]
    assert document["image"] == {
        "source": f"containers-storage:localhost/os:latest@{DIGEST}",
        "target": "ostree-unverified-registry:localhost/os:latest",
        "digest": DIGEST,
        "version": "13.1",
        "layers": 2,
        "unpackedBytes": 900 * MIB,
    }
    assert document["kernelArguments"] == list(plan.kargs)
    assert document["rootSshAuthorizedKeys"] is True
    assert "AAAA" not in json.dumps(document)


def test_plan_install_knows_no_image_arguments_of_a_foreign_source() -> None:
    plan = a_plan(a_request(device=Path("/dev/vdb")), config=EXT4, image=an_image(kargs=None))
    assert plan.kargs == (f"root=UUID={plan.layout.root.filesystem_id}", "rw")


def test_plan_install_refuses_bound_images_unless_told_to_skip_them() -> None:
    image = an_image(bound_images=("app.container",))
    with refused(
        BootcpyError,
        r"binds other images \(app.container\)",
        hint="add --bound-images=skip to install without them",
    ):
        a_plan(image=image)
    a_plan(a_request(skip_bound_images=True), image=image)
