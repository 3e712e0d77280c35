"""The install configuration: `bootc/install/*.toml`, merged (bootc install/config.rs).

A key is declared once, with its field of `InstallConfig`; parsing, merging and printing go by
these declarations.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, get_type_hints

from bootcpy.errors import ConfigurationError
from bootcpy.model.base.toml import parse_toml, place_of, shown_value
from bootcpy.model.boot.kargs import matches_architecture, string_array
from bootcpy.model.boot.loader import Bootloader
from bootcpy.model.install.layout import Filesystem

BLOCK_SETUPS = ("direct", "tpm2-luks")

_TABLE = "install"  # the only one of a file
_MATCH = "match-architectures"
_OPEN_TABLE = "ostree"  # as bootc: it mirrors ostree's own options, which may grow

# Where a key is (file and line), its name and its value to that value, checked.
_Check = Callable[[str, str, object], Any]


def _string(place: str, key: str, value: object) -> str:
    if isinstance(value, str):
        return value
    raise ConfigurationError(f"{place}: {key} must be a string, not {shown_value(value)}")


def _boolean(place: str, key: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ConfigurationError(f"{place}: {key} must be true or false, not {shown_value(value)}")


def _choice(*words: str) -> _Check:
    def check(place: str, key: str, value: object) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise ConfigurationError(
            f"{place}: {key} must not be {shown_value(value)}",
            hint=f"use one of: {', '.join(words)}",
        )

    return check


def _filesystem(place: str, key: str, value: object) -> Filesystem:
    return Filesystem(_choice(*Filesystem)(place, key, value))


def _bootloader(place: str, key: str, value: object) -> Bootloader:
    return Bootloader(_choice(*Bootloader)(place, key, value))


def _block(place: str, key: str, value: object) -> tuple[str, ...]:
    setups = string_array(place, key, value)
    for setup in setups:
        _choice(*BLOCK_SETUPS)(place, key, setup)
    if not setups:
        raise ConfigurationError(
            f"{place}: {key} must not be empty", hint='write block = ["direct"]'
        )
    return setups


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """How a field is written below `[install]`, a dotted name standing for nested tables."""

    name: str
    check: _Check
    newer_name: str | None = None  # counts before `name`, whichever file has which
    of_kernel: bool = False  # an argument's: those of all files add up; printed only with --all

    @property
    def names(self) -> tuple[str, ...]:
        """All names, what counts least first."""
        return (self.name,) if self.newer_name is None else (self.name, self.newer_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallConfig:
    """The merged install configuration; None is what no file sets."""

    found: bool = False  # whether any file applied; bootc prints nulls if not
    filesystem: Annotated[
        Filesystem | None,
        _Key(name="root-fs-type", check=_filesystem, newer_name="filesystem.root.type"),
    ] = None
    block: Annotated[tuple[str, ...] | None, _Key(name="block", check=_block)] = None
    kargs: Annotated[
        tuple[str, ...] | None, _Key(name="kargs", check=string_array, of_kernel=True)
    ] = None
    karg_deletes: Annotated[
        tuple[str, ...] | None, _Key(name="karg-deletes", check=string_array, of_kernel=True)
    ] = None
    # Decides about each file, and is null once they are merged.
    match_architectures: Annotated[None, _Key(name=_MATCH, check=string_array)] = None
    stateroot: Annotated[str | None, _Key(name="stateroot", check=_string)] = None
    root_mount_spec: Annotated[str | None, _Key(name="root-mount-spec", check=_string)] = None
    boot_mount_spec: Annotated[str | None, _Key(name="boot-mount-spec", check=_string)] = None
    bootloader: Annotated[Bootloader | None, _Key(name="bootloader", check=_bootloader)] = None
    discoverable_partitions: Annotated[
        bool | None, _Key(name="discoverable-partitions", check=_boolean)
    ] = None
    enforce_container_sigpolicy: Annotated[
        bool | None, _Key(name="enforce-container-sigpolicy", check=_boolean)
    ] = None
    bls_append_except_default: Annotated[
        str | None, _Key(name=f"{_OPEN_TABLE}.bls-append-except-default", check=_string)
    ] = None
    skip_boot_uuid: Annotated[bool | None, _Key(name="bootupd.skip-boot-uuid", check=_boolean)] = (
        None
    )
    warnings: tuple[str, ...] = ()

    def to_json(self, *, with_kargs: bool) -> str:
        """Return what `install print-configuration [--all]` prints, as bootc's canonical JSON."""
        document: dict[str, Any] = {}
        for field_name, key in _KEYS.items():
            value = getattr(self, field_name)
            if key.of_kernel and (value is None or not with_kargs):
                continue
            for name in key.names:
                document |= _nested(value, name.split("."))
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _nested(value: object, names: Sequence[str]) -> dict[str, Any]:
    """Return `value` within tables; where it is None, the outermost is."""
    outer, *inner = names
    return {outer: value if value is None or not inner else _nested(value, inner)}


def _declared(config: type[InstallConfig]) -> dict[str, _Key]:
    hints = get_type_hints(config, include_extras=True)
    return {
        field.name: key
        for field in fields(config)
        for key in getattr(hints[field.name], "__metadata__", ())
    }


_KEYS: Mapping[str, _Key] = _declared(InstallConfig)
_CHECKS = {name: key.check for key in _KEYS.values() for name in key.names}
_TABLES = frozenset(
    tuple(name.split(".")[:depth]) for name in _CHECKS for depth in range(1, name.count(".") + 1)
)


def merge_install_config(fragments: Sequence[tuple[str, str]], machine: str) -> InstallConfig:
    """Return the configuration that `fragments` (file name, text) make on `machine`.

    The order given is the order applied: later scalars replace earlier ones, kernel
    arguments add up.

    Raises:
        ConfigurationError: a file is no TOML, or has an unknown key or a wrong value; the
            message names its line where that shows.
    """
    merged: dict[str, Any] = {}
    warnings: list[str] = []
    found = False
    for file_name, text in fragments:
        values = _parse_fragment(file_name, text, warnings)
        wanted = values.pop(_MATCH, None)
        if wanted is None or matches_architecture(wanted, machine):
            found = True
            merged |= values | {
                key.name: (*merged.get(key.name, ()), *values[key.name])
                for key in _KEYS.values()
                if key.of_kernel and key.name in values
            }
    if found:
        merged.setdefault("block", ("direct",))
    by_field = {
        field_name: merged[name]
        for field_name, key in _KEYS.items()
        for name in key.names
        if name in merged
    }
    return InstallConfig(found=found, warnings=tuple(warnings), **by_field)


def _parse_fragment(file_name: str, text: str, warnings: list[str]) -> dict[str, Any]:
    """Return the known keys of a file with checked values; add to `warnings`."""
    document = parse_toml(file_name, text)

    def place(path: Sequence[str]) -> str:
        return place_of(file_name, text, path)

    for key in document:
        if key != _TABLE:
            raise ConfigurationError(
                f"{place([key])}: unknown key {shown_value(key)}",
                hint=f"the only top-level table is [{_TABLE}]",
            )
    values: dict[str, Any] = {}
    for path, value in _settings(document.get(_TABLE, {}), place, ()):
        name, shown = ".".join(path), ".".join((_TABLE, *path))
        check = _CHECKS.get(name)
        if check is not None:
            values[name] = check(place((_TABLE, *path)), shown, value)
        elif path[0] == _OPEN_TABLE:
            # Without the line, whose search would take long for a thousand of them.
            warnings.append(f"{file_name}: unknown key {shown_value(shown)}")
        else:
            raise ConfigurationError(
                f"{place((_TABLE, *path))}: unknown key {shown_value(shown)}",
                hint=f"known are: {', '.join(_CHECKS)}",
            )
    return values


def _settings(
    table: object, place: Callable[[Sequence[str]], str], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], object]]:
    """Return what a table sets, by path; the tables in it that have known keys are entered.

    Raises:
        ConfigurationError: what should be one of these tables is none.
    """
    if not isinstance(table, dict):
        full_path = (_TABLE, *path)
        raise ConfigurationError(
            f"{place(full_path)}: {'.'.join(full_path)} must be a table, not {shown_value(table)}"
        )
    for key, value in table.items():
        inner = (*path, key)
        if inner in _TABLES:
            yield from _settings(value, place, inner)
        else:
            yield inner, value
