import json

import pytest

from bootcpy.errors import ConfigurationError
from bootcpy.model.boot.loader import Bootloader
from bootcpy.model.install.config import InstallConfig, merge_install_config
from bootcpy.model.install.layout import Filesystem

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


KNOWN = (
    "known are: root-fs-type, filesystem.root.type, block, kargs, karg-deletes, "
    "match-architectures, stateroot, root-mount-spec, boot-mount-spec, bootloader, "
    "discoverable-partitions, enforce-container-sigpolicy, ostree.bls-append-except-default, "
    "bootupd.skip-boot-uuid"
)
CORRECT = "correct the file"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "[install",
            "f.toml:1: not valid TOML: Expected ']' at the end of a table declaration",
            CORRECT,
        ),
        ("\n[instal]", "f.toml:2: unknown key 'instal'", "the only top-level table is [install]"),
        ("a.b = 1", "f.toml:1: unknown key 'a'", "the only top-level table is [install]"),
        (
            '[install]\nmatch_architectures = ["x"]',
            "f.toml:2: unknown key 'install.match_architectures'",
            KNOWN,
        ),
        (
            '[install.filesystem]\nboot = "x"',
            "f.toml:2: unknown key 'install.filesystem.boot'",
            KNOWN,
        ),
        ("[install.no.such]\na = 1", "f.toml:1: unknown key 'install.no'", KNOWN),
        ("install = { 'a.b' = 1 }", "f.toml:1: unknown key 'install.a.b'", KNOWN),
        (
            '[install]\nroot-fs-type = "ext4"\n[install.filesystem.root]\n\ntype = "zfs"',
            "f.toml:5: install.filesystem.root.type must not be 'zfs'",
            "use one of: xfs, ext4, btrfs",
        ),
        (
            "[install]\nfilesystem = 1",
            "f.toml:2: install.filesystem must be a table, not 1",
            CORRECT,
        ),
        ('install = "x"', "f.toml:1: install must be a table, not 'x'", CORRECT),
        ("[[install]]", "f.toml:1: install must be a table, not [{}]", CORRECT),
        (
            '[install]\nkargs = "a"',
            "f.toml:2: install.kargs must be a list of strings, not 'a'",
            CORRECT,
        ),
        (
            "[install]\nblock = []",
            "f.toml:2: install.block must not be empty",
            'write block = ["direct"]',
        ),
        (
            '[install]\nblock = [\n"direct",\n"lvm"]',
            "f.toml:2: install.block must not be 'lvm'",
            "use one of: direct, tpm2-luks",
        ),
        (
            '[install]\nbootloader = "lilo"',
            "f.toml:2: install.bootloader must not be 'lilo'",
            "use one of: grub, grub-cc, systemd, none",
        ),
        (
            "# of a machine\n[install]\n\nstateroot = 1",
            "f.toml:4: install.stateroot must be a string, not 1",
            CORRECT,
        ),
        (
            "[install]\ndiscoverable-partitions = 1",
            "f.toml:2: install.discoverable-partitions must be true or false, not 1",
            CORRECT,
        ),
        (
            '[install]\n"stater\\u006fot" = 1',
            "f.toml: install.stateroot must be a string, not 1",
            CORRECT,
        ),
    ],
)
def test_merge_names_file_line_and_key_of_what_is_wrong(text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        merge_install_config([("f.toml", text)], "x86_64")
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.timeout(5)
def test_merge_takes_little_time_for_thousands_of_unknown_keys() -> None:
    text = "[install.ostree]\n" + "".join(f"k{number} = 1\n" for number in range(5000))
    assert len(merge_install_config([("f.toml", text)], "x86_64").warnings) == 5000
    with pytest.raises(ConfigurationError, match=r"^f\.toml:2: unknown key 'install\.k0'$"):
        merge_install_config([("f.toml", text.replace(".ostree", ""))], "x86_64")


def test_merge_prefers_the_newer_name_of_the_file_system_in_whichever_file() -> None:
    newer = ("10.toml", '[install.filesystem.root]\ntype = "xfs"')
    older = ("20.toml", '[install]\nroot-fs-type = "ext4"')
    for files in ([newer, older], [older, newer]):
        assert merge_install_config(files, "x86_64").filesystem is Filesystem.XFS


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
