"""What reads the files of an image that it boots with, and of the host's boot menu."""

import io

from bootcpy.model.boot.bls import parse_entry, sorted_entries
from bootcpy.model.boot.bootable import BootFacts, protects_toplevel, require_bootable_tree
from bootcpy.model.boot.grub_menu import grub_menu, kernel_arguments, quoted
from bootcpy.model.boot.kargs import kargs_after_upgrade, parse_kargs_d
from bootcpy.model.boot.owned_kargs import read_sources
from bootcpy.model.install.config import merge_install_config
from bootcpy.system.boot.initramfs import paths_in
from tools.fuzz.target import Target

_CONF = "[composefs]\nenabled = no\n"
_QUOTE = "'"
_OWN_WORDS = frozenset({
    *("menuentry", "--users", "--unrestricted", "--id", "linux", "initrd", "devicetree"),
    *("{", "}"),
})


def initramfs(content: bytes) -> None:
    """List the files of an initramfs that needs no other program to read."""
    if content.startswith((b"\x28\xb5\x2f\xfd", b"\x02\x21\x4c\x18")):
        return
    for _ in paths_in(io.BytesIO(content)):
        pass


def kargs_d(content: bytes) -> None:
    """Read a kargs.d file, and add what it has."""
    params = parse_kargs_d([("10-a.toml", content.decode(errors="replace"))], "x86_64")
    kargs_after_upgrade(("root=UUID=x", "rw"), (), params)


def install_configuration(content: bytes) -> None:
    """Read an install configuration."""
    text = content.decode(errors="replace")
    merge_install_config([("a.toml", text)], "x86_64").to_json(with_kargs=True)


def boot_entry(content: bytes) -> None:
    """Read a boot entry, whose first line is its file's name, and make a menu of it."""
    name, _, text = content.decode(errors="replace").partition("\n")
    entry = parse_entry(name, text)
    read_sources(text)
    menu = grub_menu(sorted_entries([entry, entry]))
    # Whatever the entry says, it stays inside quotes: outside are only our own words.
    entries = menu[menu.index("menuentry ") :]
    assert not set(_outside_quotes(entries).replace("\\", "").split()) - _OWN_WORDS  # noqa: S101 - what is fuzzed


def _outside_quotes(text: str) -> str:
    """Return what GRUB's shell reads as its own; a quote that is left open fails."""
    out = ""
    while text:
        plain, quote, text = text.partition(_QUOTE)
        out += plain
        if plain.endswith("\\"):  # a quote for itself
            continue
        _, closed, text = text.partition(_QUOTE)
        assert closed == quote  # noqa: S101 - what is fuzzed
    return out


def grub_words(content: bytes) -> None:
    """Quote kernel arguments for GRUB's shell, which must read back the same."""
    for word in kernel_arguments(content.decode(errors="replace")):
        assert _unquoted(quoted(word)) == word  # noqa: S101 - what is fuzzed


def _unquoted(text: str) -> str:
    """Read a word as GRUB's shell does."""
    out, rest = "", text
    while rest:
        if rest.startswith(_QUOTE):
            inner, _, rest = rest[1:].partition(_QUOTE)
            out += inner
        elif rest.startswith("\\"):
            out, rest = out + rest[1], rest[2:]
        else:
            raise AssertionError(f"outside quotes: {rest!r}")
    return out


def os_release(content: bytes) -> None:
    """Judge an os-release, as before staging."""
    require_bootable_tree(_facts(os_release=content), composefs_supported=False)


def prepare_root(content: bytes) -> None:
    """Read a prepare-root.conf."""
    text = content.decode(errors="replace")
    protects_toplevel(text)
    require_bootable_tree(_facts(prepare_root_conf=text), composefs_supported=False)


def kernel_version(content: bytes) -> None:
    """Judge the name of a kernel's directory."""
    facts = _facts(kernels=(content.decode(errors="surrogateescape"),))
    require_bootable_tree(facts, composefs_supported=False)


def _facts(
    *,
    kernels: tuple[str, ...] = ("6.12",),
    prepare_root_conf: str = _CONF,
    os_release: bytes = b"ID=test\n",
) -> BootFacts:
    return BootFacts(
        kernels=kernels,
        has_initramfs=True,
        has_prepare_root=True,
        prepare_root_conf=prepare_root_conf,
        os_release=os_release,
        has_etc=True,
    )


TARGETS: dict[str, Target] = {
    "initramfs": initramfs,
    "kargs-d": kargs_d,
    "install-configuration": install_configuration,
    "boot-entry": boot_entry,
    "grub-words": grub_words,
    "os-release": os_release,
    "prepare-root": prepare_root,
    "kernel-version": kernel_version,
}
