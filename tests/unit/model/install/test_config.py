import json

import pytest

from bootcpy.errors import ConfigurationError
from bootcpy.model.boot.loader import Bootloader
from bootcpy.model.install.config import InstallConfig, merge_install_config
from bootcpy.model.install.layout import Filesystem
from tests.refusals import refused

_CORRECT = "correct the file"
_KNOWN_KEYS = (
    "known are: root-fs-type, filesystem.root.type, block, kargs, karg-deletes, "
    "match-architectures, stateroot, root-mount-spec, boot-mount-spec, bootloader, "
    "discoverable-partitions, enforce-container-sigpolicy, "
    "ostree.bls-append-except-default, bootupd.skip-boot-uuid"
)

NULLS = {
    "block": None,
    "boot-mount-spec": None,
    "bootloader": None,
    "bootupd": None,
    "discoverable-partitions": None,
    "enforce-container-sigpolicy": None,
    "filesystem": None,
    "match-architectures": None,
    "ostree": None,
    "root-fs-type": None,
    "root-mount-spec": None,
    "stateroot": None,
}

EVERYTHING = """
[install]
root-fs-type = "xfs"
block = ["direct", "tpm2-luks"]
kargs = ["a", "b=c"]
karg-deletes = ["x"]
match-architectures = ["x86_64"]
stateroot = "state"
root-mount-spec = ""
boot-mount-spec = "UUID=1"
bootloader = "none"
discoverable-partitions = true
enforce-container-sigpolicy = false
[install.filesystem.root]
type = "btrfs"
[install.ostree]
bls-append-except-default = 'grub_users=""'
[install.bootupd]
skip-boot-uuid = true
"""


def test_merge_reads_every_key() -> None:
    assert merge_install_config([("all.toml", EVERYTHING)], "x86_64") == InstallConfig(
        found=True,
        filesystem=Filesystem.BTRFS,
        block=("direct", "tpm2-luks"),
        kargs=("a", "b=c"),
        karg_deletes=("x",),
        stateroot="state",
        root_mount_spec="",
        boot_mount_spec="UUID=1",
        bootloader=Bootloader.NONE,
        discoverable_partitions=True,
        enforce_container_sigpolicy=False,
        bls_append_except_default='grub_users=""',
        skip_boot_uuid=True,
    )


def test_merge_lets_later_scalars_win_and_kargs_add_up() -> None:
    config = merge_install_config(
        [
            ("10.toml", '[install]\nroot-fs-type = "xfs"\nkargs = ["a"]\nblock = ["tpm2-luks"]'),
            ("20.toml", '[install]\nroot-fs-type = "ext4"\nkargs = ["b"]\nblock = ["direct"]'),
            ("30.toml", '[install]\nstateroot = "s"\nkarg-deletes = ["c"]'),
        ],
        "x86_64",
    )
    assert config.filesystem is Filesystem.EXT4
    assert config.kargs == ("a", "b")
    assert config.karg_deletes == ("c",)
    assert config.block == ("direct",)
    assert config.stateroot == "s"


def test_merge_skips_files_for_other_architectures() -> None:
    arm = '[install]\nmatch-architectures = ["aarch64"]\nkargs = ["arm"]'
    assert merge_install_config([("arm.toml", arm)], "x86_64") == InstallConfig()
    assert merge_install_config([("arm.toml", arm)], "aarch64").kargs == ("arm",)


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("[install", ["f.toml", "TOML"], _CORRECT),
        ("[instal]", ["f.toml", "instal"], "the only top-level table is [install]"),
        (
            '[install]\nmatch_architectures = ["x"]',
            ["f.toml", "install.match_architectures"],
            _KNOWN_KEYS,
        ),
        ('[install.filesystem]\nboot = "x"', ["f.toml", "install.filesystem.boot"], _KNOWN_KEYS),
        (
            '[install.filesystem.root]\ntype = "zfs"',
            ["f.toml", "filesystem.root.type", "zfs"],
            "use one of: xfs, ext4, btrfs",
        ),
        ("[install]\nfilesystem = 1", ["f.toml", "install.filesystem", "table"], _CORRECT),
        ('install = "x"', ["f.toml", "install must be a table"], _CORRECT),
        ('[install]\nkargs = "a"', ["f.toml", "install.kargs", "list"], _CORRECT),
        ("[install]\nblock = []", ["f.toml", "install.block", "empty"], 'write block = ["direct"]'),
        (
            '[install]\nblock = ["lvm"]',
            ["f.toml", "install.block", "lvm"],
            "use one of: direct, tpm2-luks",
        ),
        (
            '[install]\nbootloader = "lilo"',
            ["f.toml", "install.bootloader", "lilo"],
            "use one of: grub, grub-cc, systemd, none",
        ),
        ("[install]\nstateroot = 1", ["f.toml", "install.stateroot", "string"], _CORRECT),
        (
            "[install]\ndiscoverable-partitions = 1",
            ["f.toml", "discoverable-partitions", "true"],
            _CORRECT,
        ),
    ],
)
def test_merge_names_file_and_key_of_what_is_wrong(text: str, words: list[str], hint: str) -> None:
    with refused(ConfigurationError, hint=hint) as caught:
        merge_install_config([("f.toml", text)], "x86_64")
    assert all(word in caught.value.message for word in words), caught.value.message


def test_merge_only_warns_of_unknown_ostree_keys() -> None:
    config = merge_install_config([("f.toml", "[install.ostree]\nnew = 1")], "x86_64")
    assert config.warnings == ("f.toml: unknown key 'install.ostree.new'",)


def test_to_json_is_all_null_without_files() -> None:
    assert json.loads(InstallConfig().to_json(with_kargs=True)) == NULLS


def test_to_json_fills_in_defaults_and_hides_kargs() -> None:
    config = merge_install_config(
        [("f.toml", '[install]\nroot-fs-type = "xfs"\nkargs = ["k"]')], "x86_64"
    )
    shown = NULLS | {
        "block": ["direct"],
        "root-fs-type": "xfs",
        "filesystem": {"root": {"type": "xfs"}},
    }
    assert json.loads(config.to_json(with_kargs=False)) == shown
    assert json.loads(config.to_json(with_kargs=True)) == shown | {"kargs": ["k"]}


def test_to_json_is_canonical() -> None:
    text = merge_install_config([("f.toml", EVERYTHING)], "x86_64").to_json(with_kargs=True)
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
