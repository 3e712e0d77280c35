"""The table of commands: which words run which function.

A command is one plain function with `Annotated` parameters, in a module of this
package; its docstring is the help text. It turns words into a request, calls the
verb, and prints the outcome. To add one, write the function and give it a line here.

Only the modules that the words on the command line name are imported. Such a module
imports typer, `model/` and `errors` at its top, and the verb inside the function:
help, man pages and completion must work without libostree, root or a disk.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A word that commands stand below, such as `install`."""

    help: str
    hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command: its words after the program's name, and where its function is."""

    words: str
    function: str  # "module:function", the module below bootcpy.cli
    hidden: bool = False
    takes_anything: bool = False  # unknown options are arguments, for what is passed on

    @property
    def group(self) -> str:
        """The word before the last; empty for a top-level command."""
        return self.words.rpartition(" ")[0]

    @property
    def name(self) -> str:
        """The last word."""
        return self.words.rpartition(" ")[2]


GROUPS = {
    "install": Group(help="Install this container image onto a disk or into a file system."),
    "container": Group(help="Make, inspect and check a bootable container image."),
    "image": Group(help="List and copy the images in the repository of this host.", hidden=True),
    "loader-entries": Group(help="Set the kernel arguments that a program owns."),
    "internals": Group(help="Helpers for units and installers; they may change.", hidden=True),
}

COMMANDS: tuple[Command, ...] = (
    Command(words="status", function="host.status:status"),
    Command(words="upgrade", function="host.changes:upgrade"),
    Command(words="update", function="host.changes:upgrade", hidden=True),
    Command(words="switch", function="host.changes:switch"),
    Command(words="rollback", function="host.changes:rollback"),
    Command(words="edit", function="host.changes:edit"),
    Command(words="usr-overlay", function="host.changes:usr_overlay"),
    Command(words="usroverlay", function="host.changes:usr_overlay", hidden=True),
    Command(words="container prepare", function="container:prepare"),
    Command(words="install to-disk", function="install.command:to_disk"),
    Command(words="install print-configuration", function="install.command:print_configuration"),
    Command(words="image list", function="image:list_"),
    Command(words="image copy-to-storage", function="image:copy_to_storage"),
    Command(
        words="loader-entries set-options-for-source", function="host.loader_entries:set_options"
    ),
    Command(words="completion", function="completion:completion", hidden=True),
    Command(words="internals boot-check", function="internals:boot_check"),
    Command(words="internals publish-motd", function="internals:publish_motd"),
    Command(words="internals systemd-generator", function="internals:systemd_generator"),
    Command(words="internals fixup-etc-fstab", function="internals:fixup_etc_fstab"),
    Command(words="internals cleanup", function="internals:cleanup"),
    Command(words="internals fsck", function="internals:fsck"),
    Command(words="internals print-json-schema", function="internals:print_json_schema"),
)


def is_shown(command: Command) -> bool:
    """Tell whether help lists the command, with its group if it has one."""
    return not (command.hidden or (command.group and GROUPS[command.group].hidden))


# Called under one of these names, the program is the command.
NAMES = {
    "bootc-systemd-generator": "internals systemd-generator",
}


def named_by(words: Sequence[str], commands: Sequence[Command] = COMMANDS) -> tuple[Command, ...]:
    """Return the commands that `words` (a command line without the program) can mean.

    An incomplete or unknown word means every command that could stand there, so that
    help and the message about the unknown word can list them.
    """
    plain = [word for word in words if not word.startswith("-")][:2]
    candidates = tuple(commands)
    for depth in (1, 2):
        said = " ".join(plain[:depth])
        found = tuple(c for c in candidates if c.words == said or c.words.startswith(f"{said} "))
        if len(plain) < depth or not found:
            return candidates
        if any(c.words == said for c in found):
            return tuple(c for c in found if c.words == said)
        candidates = found
    return candidates
