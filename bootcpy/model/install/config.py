"""The install configuration: `bootc/install/*.toml`, merged (bootc install/config.rs)."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bootcpy.errors import ConfigurationError
from bootcpy.model.base.toml import parse_toml, shown_value
from bootcpy.model.boot.kargs import matches_architecture, string_array
from bootcpy.model.boot.loader import Bootloader
from bootcpy.model.install.layout import Filesystem

BLOCK_SETUPS = ("direct", "tpm2-luks")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallConfig:
    """The merged install configuration; None is what no file sets."""

    found: bool = False  # whether any file applied; bootc prints nulls if not
    filesystem: Filesystem | None = None
    block: tuple[str, ...] | None = None
    kargs: tuple[str, ...] | None = None
    karg_deletes: tuple[str, ...] | None = None
    stateroot: str | None = None
    root_mount_spec: str | None = None
    boot_mount_spec: str | None = None
    bootloader: Bootloader | None = None
    discoverable_partitions: bool | None = None
    enforce_container_sigpolicy: bool | None = None
    bls_append_except_default: str | None = None
    skip_boot_uuid: bool | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self, *, with_kargs: bool) -> str:
        """Return what `install print-configuration [--all]` prints, as bootc's canonical JSON."""
        document: dict[str, Any] = {
            "root-fs-type": self.filesystem,
            "block": self.block,
            "filesystem": _nested(self.filesystem, "root", "type"),
            "match-architectures": None,
            "ostree": _nested(self.bls_append_except_default, "bls-append-except-default"),
            "stateroot": self.stateroot,
            "root-mount-spec": self.root_mount_spec,
            "boot-mount-spec": self.boot_mount_spec,
            "bootupd": _nested(self.skip_boot_uuid, "skip-boot-uuid"),
            "bootloader": self.bootloader,
            "discoverable-partitions": self.discoverable_partitions,
            "enforce-container-sigpolicy": self.enforce_container_sigpolicy,
        }
        if with_kargs:
            lists = {"kargs": self.kargs, "karg-deletes": self.karg_deletes}
            document |= {key: value for key, value in lists.items() if value is not None}
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _nested(value: object, *keys: str) -> object:
    if value is None:
        return None
    for key in reversed(keys):
        value = {key: value}
    return value


def merge_install_config(fragments: Sequence[tuple[str, str]], machine: str) -> InstallConfig:
    """Return the configuration that `fragments` (file name, text) make on `machine`.

    The order given is the order applied: later scalars replace earlier ones, kernel
    arguments add up.

    Raises:
        ConfigurationError: a file is no TOML, or has an unknown key or a wrong value.
    """
    merged: dict[str, Any] = {}
    warnings: list[str] = []
    found = False
    for name, text in fragments:
        values = _parse_fragment(name, text, warnings)
        wanted = values.pop("match-architectures", None)
        if wanted is not None and not matches_architecture(wanted, machine):
            continue
        found = True
        for key, value in values.items():
            adds_up = key in {"kargs", "karg-deletes"}
            merged[key] = (*merged.get(key, ()), *value) if adds_up else value
    return InstallConfig(
        found=found,
        filesystem=merged.get("filesystem.root.type") or merged.get("root-fs-type"),
        block=merged.get("block", ("direct",) if found else None),
        kargs=merged.get("kargs"),
        karg_deletes=merged.get("karg-deletes"),
        stateroot=merged.get("stateroot"),
        root_mount_spec=merged.get("root-mount-spec"),
        boot_mount_spec=merged.get("boot-mount-spec"),
        bootloader=merged.get("bootloader"),
        discoverable_partitions=merged.get("discoverable-partitions"),
        enforce_container_sigpolicy=merged.get("enforce-container-sigpolicy"),
        bls_append_except_default=merged.get("ostree.bls-append-except-default"),
        skip_boot_uuid=merged.get("bootupd.skip-boot-uuid"),
        warnings=tuple(warnings),
    )


_Check = Callable[[str, str, object], Any]


def _string(file_name: str, key: str, value: object) -> str:
    if isinstance(value, str):
        return value
    raise ConfigurationError(f"{file_name}: {key} must be a string, not {shown_value(value)}")


def _boolean(file_name: str, key: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ConfigurationError(f"{file_name}: {key} must be true or false, not {shown_value(value)}")


def _choice(*words: str) -> _Check:
    def check(file_name: str, key: str, value: object) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise ConfigurationError(
            f"{file_name}: {key} must not be {shown_value(value)}",
            hint=f"use one of: {', '.join(words)}",
        )

    return check


def _filesystem(file_name: str, key: str, value: object) -> Filesystem:
    return Filesystem(_choice(*Filesystem)(file_name, key, value))


def _bootloader(file_name: str, key: str, value: object) -> Bootloader:
    return Bootloader(_choice(*Bootloader)(file_name, key, value))


def _block(file_name: str, key: str, value: object) -> tuple[str, ...]:
    setups = string_array(file_name, key, value)
    for setup in setups:
        _choice(*BLOCK_SETUPS)(file_name, key, setup)
    if not setups:
        raise ConfigurationError(
            f"{file_name}: {key} must not be empty", hint='write block = ["direct"]'
        )
    return setups


# Below `[install]`, dotted keys standing for nested tables.
_KEYS: Mapping[str, _Check] = {
    "root-fs-type": _filesystem,
    "filesystem.root.type": _filesystem,
    "block": _block,
    "kargs": string_array,
    "karg-deletes": string_array,
    "match-architectures": string_array,
    "stateroot": _string,
    "root-mount-spec": _string,
    "boot-mount-spec": _string,
    "bootloader": _bootloader,
    "discoverable-partitions": _boolean,
    "enforce-container-sigpolicy": _boolean,
    "ostree.bls-append-except-default": _string,
    "bootupd.skip-boot-uuid": _boolean,
}
_TABLES = frozenset(
    ".".join(key.split(".")[:depth]) for key in _KEYS for depth in range(1, key.count(".") + 1)
)


def _parse_fragment(name: str, text: str, warnings: list[str]) -> dict[str, Any]:
    """Return the known keys of a file with checked values; add to `warnings`."""
    document = parse_toml(name, text)
    for key in document:
        if key != "install":
            raise ConfigurationError(
                f"{name}: unknown key {shown_value(key)}",
                hint="the only top-level table is [install]",
            )
    values: dict[str, Any] = {}
    for key, value in _flatten(name, document.get("install", {}), ""):
        if key in _KEYS:
            values[key] = _KEYS[key](name, f"install.{key}", value)
        elif key.startswith("ostree."):
            # As bootc: this table mirrors ostree's own options, which may grow.
            warnings.append(f"{name}: unknown key {shown_value(f'install.{key}')}")
        else:
            raise ConfigurationError(
                f"{name}: unknown key {shown_value(f'install.{key}')}",
                hint=f"known are: {', '.join(_KEYS)}",
            )
    return values


def _flatten(name: str, table: object, prefix: str) -> list[tuple[str, object]]:
    if not isinstance(table, dict):
        where = f"install.{prefix}".rstrip(".")
        raise ConfigurationError(f"{name}: {where} must be a table, not {shown_value(table)}")
    pairs: list[tuple[str, object]] = []
    for key, value in table.items():
        dotted = f"{prefix}{key}"
        pairs += _flatten(name, value, f"{dotted}.") if dotted in _TABLES else [(dotted, value)]
    return pairs
