import tomllib

import pytest

from bootcpy.model.config import merge_install_config
from bootcpy.model.prepare_files import FILES, ImageFile, files_to_write, foreign_files

PRESENT = {file.path: file.text for file in FILES}


def test_files_are_written_once() -> None:
    assert files_to_write({}) == FILES
    assert files_to_write(PRESENT) == ()
    assert foreign_files(PRESENT) == ()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.path)
def test_files_of_an_earlier_version_are_replaced(file: ImageFile) -> None:
    path = file.path
    older = PRESENT | {path: PRESENT[path] + "# a line we used to write\n"}
    assert [written.path for written in files_to_write(older)] == [path]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.path)
def test_files_of_somebody_else_stay(file: ImageFile) -> None:
    path = file.path
    theirs = PRESENT | {path: "theirs\n"}
    assert files_to_write(theirs) == ()
    assert foreign_files(theirs) == (path,)


def test_install_configuration_is_valid_and_chooses_ext4() -> None:
    path = "usr/lib/bootc/install/00-debian.toml"
    tomllib.loads(PRESENT[path])
    assert merge_install_config([(path, PRESENT[path])], "x86_64").filesystem == "ext4"


def test_grub_menu_generator_is_a_program_that_python_can_compile() -> None:
    (generator,) = (file for file in FILES if file.path == "usr/lib/bootc/grub-menu")
    assert generator.mode == 0o755
    compile(generator.text, generator.path, "exec")
