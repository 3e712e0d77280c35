from pathlib import Path

import pytest

from bootcpy.errors import BootcpyError, ConfigurationError, UsageError
from bootcpy.model.boot.kargs import KernelArguments
from bootcpy.model.boot.loader import Bootloader
from bootcpy.model.image.reference import ContainerPolicy, Insecure, Transport
from bootcpy.model.install.config import InstallConfig, merge_install_config
from bootcpy.model.install.layout import Filesystem
from bootcpy.model.install.settings import InstallRequest, InstallSurroundings, Settings, settle
from tests.refusals import refused
from tests.unit.model.install.plans import a_request, some_settings

_GIVE_TARGET = "choose another image with --target-imgref"


def config_of(text: str) -> InstallConfig:
    return merge_install_config([("f.toml", f"[install]\n{text}")], "x86_64")


def test_settle_takes_the_defaults_where_nobody_chooses() -> None:
    request = InstallRequest(device=Path("/dev/vdb"))
    config = InstallConfig(found=True, filesystem=Filesystem.XFS)
    assert settle(request, config, InstallSurroundings(machine="s390x")) == Settings(
        device=Path("/dev/vdb"),
        via_loopback=False,
        wipe=False,
        filesystem=Filesystem.XFS,
        root_size_bytes=None,
        direct_io=False,
        seed=None,
        source_date_epoch=None,
        machine="s390x",
        follows=None,
        follows_transport=Transport.REGISTRY,
        follows_signature=Insecure(),
        run_fetch_check=False,
        stateroot="default",
        kargs=KernelArguments(root=()),
        bootloader=Bootloader.GRUB,
        generic_image=False,
        skip_bound_images=False,
        bls_append_except_default=None,
        root_ssh_authorized_keys=None,
    )


def test_settle_takes_the_command_line_before_the_configuration() -> None:
    config = config_of('root-fs-type = "xfs"\nstateroot = "config"\nbootloader = "none"')
    settings = some_settings(
        a_request(filesystem=Filesystem.BTRFS, stateroot="mine", bootloader=Bootloader.GRUB),
        config=config,
    )
    assert settings.filesystem is Filesystem.BTRFS
    assert settings.stateroot == "mine"
    assert settings.bootloader is Bootloader.GRUB
    settings = some_settings(config=config)
    assert settings.filesystem is Filesystem.XFS
    assert settings.stateroot == "config"
    assert settings.bootloader is Bootloader.NONE


@pytest.mark.parametrize(
    ("request_enforces", "config_text"),
    [(True, ""), (False, "enforce-container-sigpolicy = true")],
    ids=["option", "configuration"],
)
def test_settle_enforces_signatures_when_either_asks(
    request_enforces: bool,  # noqa: FBT001 - a case
    config_text: str,
) -> None:
    settings = some_settings(
        a_request(enforce_container_sigpolicy=request_enforces, target_name="quay.io/a/b"),
        config=config_of(f'root-fs-type = "ext4"\n{config_text}'),
    )
    assert settings.follows_signature == ContainerPolicy()
    assert str(settings.follows) == "ostree-image-signed:docker://quay.io/a/b"


def test_settle_follows_what_is_named() -> None:
    settings = some_settings(a_request(target_name="/srv/os", target_transport=Transport.OCI))
    assert str(settings.follows) == "ostree-unverified-image:oci:/srv/os"


def test_settle_makes_disk_files_generic() -> None:
    assert some_settings(a_request(via_loopback=True)).generic_image
    assert some_settings(a_request(generic_image=True)).generic_image
    assert not some_settings().generic_image


def test_settle_reads_the_surroundings() -> None:
    settings = some_settings(
        source_date_epoch="1700000000", direct_io=True, authorized_keys="ssh-rsa A"
    )
    assert settings.source_date_epoch == 1700000000
    assert settings.direct_io
    assert settings.root_ssh_authorized_keys == "ssh-rsa A"
    assert some_settings(source_date_epoch="").source_date_epoch is None


@pytest.mark.parametrize("text", ["-1", "1.5", "now", "1 ", "\u0663", "1" * 13])
def test_settle_refuses_times_that_are_no_seconds(text: str) -> None:
    with refused(
        BootcpyError, r"^SOURCE_DATE_EPOCH is .*, not a number of seconds$", hint="unset it"
    ):
        some_settings(source_date_epoch=text)


def test_settle_refuses_without_a_filesystem() -> None:
    with refused(
        ConfigurationError,
        "no install configuration found",
        hint="add --filesystem with one of: xfs, ext4, btrfs",
    ):
        some_settings(config=InstallConfig())
    with pytest.raises(ConfigurationError, match="the install configuration sets none"):
        some_settings(config=config_of('stateroot = "x"'))


def test_settle_refuses_block_setups_it_cannot_do() -> None:
    with refused(ConfigurationError, "tpm2-luks is not enabled", hint="enabled there: direct"):
        some_settings(a_request(block_setup="tpm2-luks"))
    enabled = config_of('root-fs-type = "ext4"\nblock = ["tpm2-luks", "direct"]')
    with refused(BootcpyError, "tpm2-luks is not supported yet", hint="use --block-setup direct"):
        some_settings(config=enabled)
    some_settings(a_request(block_setup="direct"), config=enabled)


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
def test_settle_refuses_to_follow_what_names_no_image(
    transport: Transport, name: str, hint: str
) -> None:
    with refused(BootcpyError, r"--target-imgref|cannot follow", hint=hint):
        some_settings(a_request(target_name=name, target_transport=transport))


@pytest.mark.parametrize("stateroot", ["a/b", ".", "..", "a b", 'a"', "é", "a\n"])
def test_settle_refuses_stateroots_that_are_no_plain_names(stateroot: str) -> None:
    with refused(
        BootcpyError, "cannot be a stateroot", hint="use letters, digits, `.`, `-` and `_`"
    ):
        some_settings(a_request(stateroot=stateroot))


def test_settle_refuses_malformed_kernel_arguments_of_the_configuration() -> None:
    with refused(
        UsageError, r"install\.kargs 'a=.b' has a quotation", hint="write it as key or key=value"
    ):
        some_settings(config=config_of('root-fs-type = "ext4"\nkargs = [\'a="b\']'))
