"""Boot entries as the text of a plain `grub.cfg`.

Debian's signed GRUB has no `blscfg` command and, under Secure Boot, loads no module.
So the menu uses nothing but commands that are built into that binary: `menuentry`,
`linux`, `initrd`, `set`, `test`, `source`. It names no console: the firmware's own
one is mirrored to the serial port wherever there is somebody to read it.
"""

from collections.abc import Sequence

from bootcpy.errors import ConfigurationError
from bootcpy.model.base.printable import printable
from bootcpy.model.boot.bls import Entry
from bootcpy.model.boot.cmdline import split_kargs

# Long enough to press a key; longer when there is something to choose from.
_TIMEOUT_S = 1
_TIMEOUT_WITH_CHOICE_S = 3

_LONGEST_TITLE = 256  # characters

_PREAMBLE = """\
# Written from the entries beside this file, each time a deployment changes.
# Write local settings to grub/custom.cfg on the file system that holds /boot.
"""
_LOCAL_SETTINGS = """\
if [ -f "${prefix}/custom.cfg" ]; then
  source "${prefix}/custom.cfg"
fi
"""


def grub_menu(entries: Sequence[Entry]) -> str:
    """Return the grub.cfg that offers `entries` in their order and boots the first.

    When the first cannot be loaded, GRUB falls back to the next ones.

    Raises:
        ConfigurationError: there is no entry, so that the menu could not boot anything.
    """
    if not entries:
        raise ConfigurationError("there is no boot loader entry for the menu")
    fallback = " ".join(str(number) for number in range(1, len(entries)))
    timeout_s = _TIMEOUT_WITH_CHOICE_S if len(entries) > 1 else _TIMEOUT_S
    settings = (
        f"set default={quoted(entries[0].id)}\n"
        f"set fallback={quoted(fallback)}\n"
        "set timeout_style=menu\n"
        f"set timeout={timeout_s}\n"
    )
    return _PREAMBLE + settings + _LOCAL_SETTINGS + "".join(_menu_entry(each) for each in entries)


def _menu_entry(entry: Entry) -> str:
    # Without --unrestricted, setting `superusers` in custom.cfg would lock every entry.
    users = f"--users {quoted(entry.grub_users)}" if entry.grub_users is not None else ""
    commands = [["linux", entry.linux, *kernel_arguments(entry.options)]]
    if entry.initrd:
        commands.append(["initrd", *entry.initrd])
    if entry.devicetree:
        commands.append(["devicetree", entry.devicetree])
    title = printable(entry.title, limit=_LONGEST_TITLE)
    body = "".join(
        f"  {command} {' '.join(quoted(word) for word in words)}\n" for command, *words in commands
    )
    return (
        f"menuentry {quoted(title)} {users or '--unrestricted'} --id {quoted(entry.id)} {{\n"
        f"{body}}}\n"
    )


def quoted(word: str) -> str:
    """Return `word` as GRUB's shell reads it back unchanged."""
    return "'" + word.replace("'", "'\\''") + "'"


def kernel_arguments(options: str) -> list[str]:
    r"""Return the words to hand to GRUB's `linux` so that the kernel gets `options`.

    GRUB joins its words with spaces, puts double quotes around one that holds a space
    and a backslash before every quote. So the kernel's own double quotes are dropped
    where they enclose a whole argument or its whole value: GRUB puts back what the
    kernel needs. A literal `'` or `\` cannot be handed over exactly; it arrives
    with a backslash before it, which systemd undoes and the kernel does not.
    """
    return [_without_quotes(argument) for argument in split_kargs(options)]


def _without_quotes(argument: str) -> str:
    key, equals, value = argument.partition("=")
    if argument.startswith('"'):
        return argument.removeprefix('"').removesuffix('"')
    if equals and value.startswith('"'):
        return key + "=" + value.removeprefix('"').removesuffix('"')
    return argument
