import pytest

from bootcpy.errors import ConfigurationError
from bootcpy.model.boot.bls import Entry
from bootcpy.model.boot.grub_menu import grub_menu, kernel_arguments, quoted

FIRST = Entry(
    id="ostree-2",
    title='Bob\'s $HOME "distro" {1}; #x \\ \u00e4\x1b[31m',
    version="2",
    linux="/boot/ostree/default-b/vmlinuz-6.12",
    initrd=("/boot/ostree/default-b/initramfs-6.12.img", "/boot/extra.img"),
    options='root=UUID=u rw dyndbg="file a.c +p; file b.c +p" ostree=/ostree/boot.0/default/b/0',
)
SECOND = Entry(
    id="ostree-1",
    title="Old",
    version="1",
    linux="/boot/ostree/default-a/vmlinuz-6.11",
    initrd=(),
    options="",
    devicetree="/boot/ostree/default-a/devicetree",
    grub_users="",
)

MENU = """\
# Written from the entries beside this file, each time a deployment changes.
# Write local settings to grub/custom.cfg on the file system that holds /boot.
set default='ostree-2'
set fallback='1'
set timeout_style=menu
set timeout=3
if [ -f "${prefix}/custom.cfg" ]; then
  source "${prefix}/custom.cfg"
fi
menuentry 'Bob'\\''s $HOME "distro" {1}; #x \\ \u00e4\\x1b[31m' --unrestricted --id 'ostree-2' {
  linux '/boot/ostree/default-b/vmlinuz-6.12' 'root=UUID=u' 'rw' \
'dyndbg=file a.c +p; file b.c +p' 'ostree=/ostree/boot.0/default/b/0'
  initrd '/boot/ostree/default-b/initramfs-6.12.img' '/boot/extra.img'
}
menuentry 'Old' --users '' --id 'ostree-1' {
  linux '/boot/ostree/default-a/vmlinuz-6.11'
  devicetree '/boot/ostree/default-a/devicetree'
}
"""


def test_grub_menu_is_plain_and_quoted() -> None:
    assert grub_menu([FIRST, SECOND]) == MENU


def test_grub_menu_of_one_entry_waits_a_second_and_has_no_fallback() -> None:
    text = grub_menu([FIRST])
    assert "set timeout=1\n" in text
    assert "set fallback=''\n" in text


def test_grub_menu_refuses_to_be_empty() -> None:
    with pytest.raises(ConfigurationError, match="no boot loader entry"):
        grub_menu([])


@pytest.mark.parametrize(
    ("word", "expected"),
    [("plain", "'plain'"), ("it's", "'it'\\''s'"), ("$x`y`", "'$x`y`'"), ("", "''")],
)
def test_quoted(word: str, expected: str) -> None:
    assert quoted(word) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", []),
        ("  a   b\tc ", ["a", "b", "c"]),
        ("root=UUID=x rw", ["root=UUID=x", "rw"]),
        ('a="b c" d', ["a=b c", "d"]),
        ('"a=b c" d', ["a=b c", "d"]),
        ('a="b"', ["a=b"]),
        ('a="open end', ["a=open end"]),
        ("a=b=c", ["a=b=c"]),
        ("it's a\\b $x", ["it's", "a\\b", "$x"]),
        ('a=b"c d"e', ['a=b"c d"e']),
        ("no\u00a0break", ["no\u00a0break"]),
    ],
)
def test_kernel_arguments(options: str, expected: list[str]) -> None:
    assert kernel_arguments(options) == expected
