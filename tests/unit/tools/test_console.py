import pytest

from tools import console


@pytest.mark.parametrize(
    ("line", "reached"),
    [
        ('BdsDxe: starting Boot0001 "UEFI Misc Device" from PciRoot', "firmware starts UEFI Misc"),
        ("[    0.000000] Linux version 6.12.1-amd64 (debian-kernel@)", "kernel 6.12.1-amd64"),
        ("[    9.1] systemd[1]: systemd 257.9 running in system mode (+PAM", "systemd 257.9"),
        ("[  OK  ] Reached target multi-user.target - Multi-User System.", "multi-user system up"),
        ("[  OK  ] Reached target Multi-User System.", "multi-user system up"),
        ("guest login:", "login prompt of guest"),
    ],
)
def test_milestone_names_the_stage(line: str, reached: str) -> None:
    said = console.milestone(line)

    assert said is not None
    assert said.startswith(reached)
    assert console.failure(line) is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[    1.2] Kernel panic - not syncing: VFS: Unable to mount root", "the kernel panicked"),
        ("You are in emergency mode. After logging in, type", "it is in emergency mode"),
        ("grub>", "GRUB found no menu"),
        ("grub rescue>", "GRUB found no menu"),
        ("BdsDxe: No bootable option or device was found.", "no disk is bootable"),
        ("KVM internal error. Suberror: 1", "KVM cannot run it"),
    ],
)
def test_failure_says_why(line: str, reason: str) -> None:
    assert console.failure(line) == reason


def test_failure_is_silent_about_an_ordinary_line() -> None:
    assert console.failure("[    2.0] EXT4-fs (vda3): mounted filesystem") is None


def test_plain_lines_drops_escapes_and_empty_lines() -> None:
    text = (
        "\x1b[2J\x1b[01;01H\r\n[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39mdbus\x1b[0m.\r\n\r\n"
    )

    assert console.plain_lines(text) == ["[  OK  ] Started dbus."]
