import json

import pytest

from bootcpy.errors import BootcpyError, TargetError
from bootcpy.model.base.size import GIB, MIB
from bootcpy.model.boot.loader import Bootloader
from bootcpy.model.image.reference import Transport
from bootcpy.model.install.config import InstallConfig, merge_install_config
from bootcpy.model.install.layout import DiskFacts, Filesystem
from bootcpy.model.install.target import TargetState
from tests.refusals import refused
from tests.unit.model.install.plans import DIGEST, a_plan, a_request, an_image, some_settings


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
        some_settings(
            a_request(kargs=("quiet", "splash"), karg_deletes=("gone",), disable_selinux=True),
            config=config_of('root-fs-type = "ext4"\nkargs = ["config=1", "gone"]'),
        )
    )
    root = plan.layout.root.filesystem_id
    assert plan.kargs == (
        *(f"root=UUID={root}", "rw", "selinux=0", "quiet", "splash", "config=1", "image=1"),
    )


def test_plan_install_repeats_itself_when_seeded() -> None:
    assert a_plan() == a_plan()


def test_plan_install_draws_new_uuids_without_a_seed() -> None:
    settings = some_settings(a_request(seed=None))
    assert a_plan(settings).layout != a_plan(settings).layout


def test_plan_install_refuses_a_disk_file_on_a_full_file_system() -> None:
    disk = DiskFacts(path="/srv/disk.img", size_bytes=10 * GIB, via_loopback=True)
    with refused(
        TargetError,
        r"holds /srv/disk.img has too little free space: 1 GiB are",
        hint="free some space there, or put the disk file elsewhere",
    ):
        a_plan(target=TargetState(disk=disk, available_bytes=GIB))
    a_plan(target=TargetState(disk=disk, available_bytes=2 * GIB))


def test_to_json_is_plain_data_with_every_choice() -> None:
    plan = a_plan(some_settings(a_request(wipe=True), authorized_keys="ssh-ed25519 AAAA"))
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


@pytest.mark.parametrize("name", ["localhost/a b", "localhost/a\n", "docker://localhost/a"])
def test_plan_install_refuses_an_image_whose_own_name_cannot_be_followed(name: str) -> None:
    image = an_image(name=name)
    with pytest.raises(BootcpyError, match=r"--target-imgref|cannot follow") as caught:
        a_plan(image=image)
    assert caught.value.hint
    a_plan(some_settings(a_request(target_name="quay.io/example/os:1")), image=image)


def test_plan_install_follows_the_own_image_as_the_settings_say() -> None:
    request = a_request(target_transport=Transport.OCI, enforce_container_sigpolicy=True)
    follows = a_plan(some_settings(request)).deploy.follows
    assert str(follows) == "ostree-image-signed:oci:localhost/os:latest"


def test_plan_install_knows_no_image_arguments_of_a_foreign_source() -> None:
    plan = a_plan(image=an_image(kargs=None))
    assert plan.kargs == (f"root=UUID={plan.layout.root.filesystem_id}", "rw")


def test_plan_install_refuses_bound_images_unless_told_to_skip_them() -> None:
    image = an_image(bound_images=("app.container",))
    with refused(
        BootcpyError,
        r"binds other images \(app.container\)",
        hint="add --bound-images=skip to install without them",
    ):
        a_plan(image=image)
    a_plan(some_settings(a_request(skip_bound_images=True)), image=image)
