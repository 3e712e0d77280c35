"""The GRUB menu generator: `grub-menu -o FILE`, as libostree calls it for each new boot entry.

libostree runs `$OSTREE_GRUB2_EXEC -o boot/loader.N/grub.cfg` after it has written
`boot/loader.N/entries/*.conf` and before the link `boot/loader` moves there, so the menu
is never out of step. It also runs while a machine shuts down: imports are few.
"""

import sys
from pathlib import Path

from bootcpy.errors import BootcpyError, ConfigurationError, ExitStatus
from bootcpy.model.base.printable import printable
from bootcpy.model.boot.bls import parse_entry, sorted_entries
from bootcpy.model.boot.grub_menu import grub_menu
from bootcpy.system.files import durable


def write_menu(menu: Path) -> None:
    """Write the menu of the entries in the directory `entries` beside the file `menu`.

    The file appears whole, and is on the disk when this returns.

    Raises:
        ConfigurationError: an entry is malformed, or there is none.
        OSError: a file cannot be read or written.
    """
    found = []
    for path in sorted(menu.parent.glob("entries/*.conf")):
        try:
            found.append(parse_entry(path.name, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError as e:
            raise ConfigurationError(f"boot loader entry {path} is not UTF-8 text") from e
    durable.write_text(menu, grub_menu(sorted_entries(found)))


def main(argv: list[str] | None = None) -> int:
    """Run the command line `grub-menu -o FILE` and return its exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    match arguments:
        case ["-o", file]:
            menu = Path(file)
        case _:
            print("usage: grub-menu -o FILE", file=sys.stderr)  # noqa: T201 - a program of its own
            return ExitStatus.USAGE
    try:
        write_menu(menu)
    except (BootcpyError, OSError) as e:
        print(printable(f"grub-menu: {e}"), file=sys.stderr)  # noqa: T201 - libostree shows it
        return ExitStatus.FAILED
    return ExitStatus.OK
