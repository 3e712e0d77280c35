from importlib import import_module
from pathlib import Path

import pytest

from bootcpy.system.boot.grub_menu import main

ENTRY = "title T{n}\nversion {n}\nlinux /boot/vmlinuz-{n}\n"


def loader(tmp_path: Path, **entries: str) -> Path:
    directory = tmp_path / "loader.0"
    (directory / "entries").mkdir(parents=True)
    for name, text in entries.items():
        (directory / "entries" / f"{name}.conf").write_text(text, encoding="utf-8")
    return directory / "grub.cfg"


def test_main_writes_the_menu_beside_the_entries(tmp_path: Path) -> None:
    menu = loader(tmp_path, a=ENTRY.format(n=9), b=ENTRY.format(n=10))
    assert main(["-o", str(menu)]) == 0
    lines = menu.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("  linux")] == [
        "  linux '/boot/vmlinuz-10'",
        "  linux '/boot/vmlinuz-9'",
    ]
    assert sorted(path.name for path in menu.parent.iterdir()) == ["entries", "grub.cfg"]


def test_main_replaces_an_old_menu(tmp_path: Path) -> None:
    menu = loader(tmp_path, a=ENTRY.format(n=1))
    menu.write_text("old" * 1000, encoding="utf-8")
    assert main(["-o", str(menu)]) == 0
    assert "oldold" not in menu.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"title only\n", "entry a.conf has no line"),
        (b"linux /k\ntitle \xff\n", "is not UTF-8 text"),
    ],
)
def test_main_refuses_a_malformed_entry_and_keeps_the_old_menu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    menu = loader(tmp_path, b=ENTRY.format(n=1))
    menu.write_text("old", encoding="utf-8")
    (menu.parent / "entries/a.conf").write_bytes(content)
    assert main(["-o", str(menu)]) == 1
    assert message in capsys.readouterr().err
    assert menu.read_text(encoding="utf-8") == "old"


def test_main_refuses_a_directory_without_entries(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-o", str(loader(tmp_path))]) == 1
    assert "no boot loader entry" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["-o"], ["FILE"], ["-o", "a", "b"]])
def test_main_refuses_other_arguments(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert capsys.readouterr().err == "usage: grub-menu -o FILE\n"


# What images of every version have in /usr/lib/bootc/grub-menu imports one of these.
@pytest.mark.parametrize("name", ["bootcpy.grub_menu", "bootcpy.system.grub_menu"])
def test_the_generator_of_installed_images_finds_its_entry_point(name: str) -> None:
    assert import_module(name).main is main
