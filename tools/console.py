"""What a guest's serial console says: how far the boot has come, and whether it is stuck.

Pure text in, facts out; the waiting is in `tools.guest`.
"""

import re

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|[=>cM78])|[\x00-\x08\x0b-\x1f]")

# In the order of a boot. A group, where there is one, is the detail worth repeating.
_MILESTONES = (
    (re.compile(r'BdsDxe: starting Boot\w+ "([^"]+)"'), "firmware starts {}"),
    (re.compile(r"Booting from Hard Disk"), "firmware starts the disk"),
    (re.compile(r"Welcome to GRUB|GNU GRUB +version (\S+)"), "GRUB"),
    (re.compile(r"Booting `([^']+)'"), "GRUB starts {}"),
    (re.compile(r"Linux version (\S+)"), "kernel {}"),
    (re.compile(r"systemd\[1\]: systemd (\S+) running in system mode"), "systemd {}"),
    (re.compile(r"Reached target (?:\S+ - )?Switch Root"), "root file system found"),
    (re.compile(r"Reached target (?:\S+ - )?Local File Systems"), "file systems mounted"),
    (re.compile(r"Reached target (?:\S+ - )?Basic System"), "basic system up"),
    (re.compile(r"Reached target (?:\S+ - )?Multi-User System"), "multi-user system up"),
    (re.compile(r"^(\S+) login:"), "login prompt of {}"),
)

_FAILURES = (
    (re.compile(r"Kernel panic - not syncing: .*"), "the kernel panicked"),
    (re.compile(r"You are in emergency mode|Entering emergency mode"), "it is in emergency mode"),
    (re.compile(r"Cannot open access to console, the root account is locked"), "it needs rescue"),
    (re.compile(r"dracut-initqueue: timeout|dracut-initqueue timeout"), "dracut finds no root"),
    (re.compile(r"systemd\[1\]: Freezing execution"), "systemd froze"),
    (re.compile(r"^grub rescue>|^grub>"), "GRUB found no menu"),
    (re.compile(r"Security Violation|bad shim signature|Access Denied"), "Secure Boot refused it"),
    (re.compile(r"BdsDxe: No bootable option|No bootable device"), "no disk is bootable"),
    (re.compile(r"KVM internal error"), "KVM cannot run it"),
)


def plain_lines(text: str) -> list[str]:
    """Return the lines that hold something, without terminal escapes and trailing blanks."""
    lines = (_ESCAPES.sub("", line).strip() for line in text.replace("\r", "\n").split("\n"))
    return [line for line in lines if line]


def milestone(line: str) -> str | None:
    """Return how far a boot is when its console prints `line`, or None for any other line."""
    for pattern, meaning in _MILESTONES:
        if found := pattern.search(line):
            return meaning.format(*(group or "" for group in found.groups()))
    return None


def failure(line: str) -> str | None:
    """Return why a boot that prints `line` will never end, or None if it may."""
    for pattern, meaning in _FAILURES:
        if pattern.search(line):
            return meaning
    return None
