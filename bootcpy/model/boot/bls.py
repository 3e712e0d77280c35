"""Boot Loader Specification entries: the text of one `*.conf` file, and which entry comes first.

What is read is the type #1 format of the UAPI Boot Loader Specification, as libostree
writes it. Unknown keys are ignored: libostree 2025.2 adds some that mean nothing.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bootcpy.errors import ConfigurationError
from bootcpy.model.base.natural_order import natural_key

# "ostree-2.conf", or with boot counting "ostree-2+3.conf" and "ostree-2+1-2.conf".
_FILE_NAME = re.compile(r"(?P<id>.+?)(?:\+(?P<left>[0-9]{1,9})(?:-[0-9]{1,9})?)?\.conf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One boot entry; paths are absolute within the file system that holds /boot."""

    id: str  # the file name without its counters and suffix
    title: str
    version: str
    linux: str
    initrd: tuple[str, ...]
    options: str  # the kernel command line, quoted as the kernel reads it
    devicetree: str | None = None
    grub_users: str | None = None  # who may boot it once GRUB asks for passwords
    tries_left: int | None = None  # boot counting, when the file name has counters


def parse_entry(file_name: str, text: str) -> Entry:
    """Return the entry that the file `file_name` (no directory) with this `text` describes.

    Raises:
        ConfigurationError: the name is not an entry's, or the text names no kernel.
    """
    name = _FILE_NAME.fullmatch(file_name)
    if name is None:
        raise ConfigurationError(
            f"{file_name} is not the name of a boot loader entry",
            hint="name it ID.conf, or remove it",
        )
    values: dict[str, list[str]] = {}
    for line in text.split("\n"):
        key, _, value = line.strip().replace("\t", " ").partition(" ")
        if key and not key.startswith("#"):
            values.setdefault(key, []).append(value.strip())

    def last(key: str) -> str:
        return values.get(key, [""])[-1]

    if not last("linux").startswith("/"):
        raise ConfigurationError(
            f"boot loader entry {file_name} has no line `linux /PATH`",
            hint="remove the entry, or deploy again, which writes it again",
        )
    left = name["left"]
    return Entry(
        id=name["id"],
        title=last("title") or name["id"],
        version=last("version"),
        linux=last("linux"),
        initrd=tuple(path for line in values.get("initrd", []) for path in line.split()),
        options=" ".join(filter(None, values.get("options", []))),
        devicetree=last("devicetree") or None,
        grub_users=values["grub_users"][-1] if "grub_users" in values else None,
        tries_left=None if left is None else int(left),
    )


def sorted_entries(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return `entries` in the order of the menu: the one to boot by default first.

    The highest version wins, as in libostree; an entry whose boot attempts are used
    up comes after all others, as in the specification's boot counting.
    """
    usable = sorted(entries, key=_precedence, reverse=True)
    return tuple(usable)


def _precedence(entry: Entry) -> tuple[bool, list[tuple[int, str]], list[tuple[int, str]]]:
    return entry.tries_left != 0, natural_key(entry.version), natural_key(entry.id)
