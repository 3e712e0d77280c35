import tomllib

import pytest

from bootcpy.model.container.files import FILES, ImageFile, files_to_write, foreign_files, preset
from bootcpy.model.install.config import merge_install_config

DISABLED = ("ssh.socket", "podman.service")
ALL = (*FILES, preset(DISABLED))
PRESENT = {file.path: file.text for file in ALL}


def test_files_are_written_once() -> None:
    assert files_to_write({}, DISABLED) == ALL
    assert files_to_write(PRESENT, DISABLED) == ()
    assert foreign_files(PRESENT) == ()


@pytest.mark.parametrize("file", ALL, ids=lambda file: file.path)
def test_files_of_an_earlier_version_are_replaced(file: ImageFile) -> None:
    path = file.path
    older = PRESENT | {path: PRESENT[path] + "# a line we used to write\n"}
    assert [written.path for written in files_to_write(older, DISABLED)] == [path]


@pytest.mark.parametrize("file", ALL, ids=lambda file: file.path)
def test_files_of_somebody_else_stay(file: ImageFile) -> None:
    path = file.path
    theirs = PRESENT | {path: "theirs\n"}
    assert files_to_write(theirs, DISABLED) == ()
    assert foreign_files(theirs) == (path,)


def test_first_boot_keeps_off_what_is_off_by_name() -> None:
    (_mark, *lines) = preset(DISABLED).text.splitlines()
    assert lines == ["disable podman.service", "disable ssh.socket"]
    (written,) = files_to_write(PRESENT, (*DISABLED, "cron.service"))
    assert "disable cron.service" in written.text


def test_install_configuration_is_valid_and_chooses_ext4() -> None:
    path = "usr/lib/bootc/install/00-debian.toml"
    tomllib.loads(PRESENT[path])
    assert merge_install_config([(path, PRESENT[path])], "x86_64").filesystem == "ext4"


def test_grub_menu_generator_is_a_program_that_python_can_compile() -> None:
    (generator,) = (file for file in FILES if file.path == "usr/lib/bootc/grub-menu")
    assert generator.mode == 0o755
    compile(generator.text, generator.path, "exec")
