import hashlib
import tomllib
from pathlib import Path

import pytest

import bootcpy
from bootcpy.model.container.files import (
    FILES,
    PATHS,
    ImageFile,
    files_to_write,
    foreign_files,
    image_files,
    preset,
)
from bootcpy.model.container.shipped import LINKS, SHIPPED, ShippedFile
from bootcpy.model.install.config import merge_install_config

DISABLED = ("ssh.socket", "podman.service")
DATA = Path(bootcpy.__file__).parent / "data"
TEXTS = {file.path: (DATA / file.path).read_text(encoding="utf-8") for file in SHIPPED}
ALL = image_files(TEXTS, {}, DISABLED)
PRESENT = {file.path: file.text for file in ALL}
UNCHANGED = [
    file
    for file in SHIPPED
    if hashlib.sha256(TEXTS[file.path].encode()).hexdigest() == file.unmarked_sha256
]
LINK_PATHS = {link.path for link in LINKS}
REGULAR = [file for file in ALL if not file.is_link]


def written(present: dict[str, str], *disabled: str) -> tuple[ImageFile, ...]:
    return files_to_write(image_files(TEXTS, present, (*DISABLED, *OURS, *disabled)), present)


# What systemctl says of our own units once they are there: static, or disabled.
OURS = tuple(
    Path(file.path).name for file in ALL if file.path.startswith("usr/lib/systemd/system/bootc-")
)


def test_files_are_written_once() -> None:
    assert files_to_write(ALL, {}) == ALL
    assert tuple(file.path for file in ALL) == PATHS
    assert written(PRESENT) == ()
    assert foreign_files(ALL, PRESENT) == ()


@pytest.mark.parametrize("file", REGULAR, ids=lambda file: file.path)
def test_files_of_an_earlier_version_are_replaced(file: ImageFile) -> None:
    path = file.path
    older = PRESENT | {path: PRESENT[path] + "# a line we used to write\n"}
    assert [file.path for file in written(older)] == [path]


def test_texts_from_before_the_mark_are_known() -> None:
    assert len(UNCHANGED) > len(SHIPPED) / 2


@pytest.mark.parametrize("file", UNCHANGED, ids=lambda file: file.path)
def test_files_from_before_the_mark_are_replaced(file: ShippedFile) -> None:
    unmarked = PRESENT | {file.path: TEXTS[file.path]}
    assert foreign_files(ALL, unmarked) == ()
    assert [file.path for file in written(unmarked)] == [file.path]
    theirs = PRESENT | {file.path: TEXTS[file.path] + "# changed by hand\n"}
    assert foreign_files(ALL, theirs) == (file.path,)
    assert written(theirs) == ()


@pytest.mark.parametrize("file", ALL, ids=lambda file: file.path)
def test_files_of_somebody_else_stay(file: ImageFile) -> None:
    path = file.path
    theirs = PRESENT | {path: "theirs\n"}
    assert written(theirs) == ()
    assert foreign_files(ALL, theirs) == (path,)


def test_a_mask_is_somebody_elses() -> None:
    for path in ("usr/lib/systemd/system/bootc-fetch-apply-updates.timer", *LINK_PATHS):
        masked = PRESENT | {path: "/dev/null"}
        assert written(masked) == ()
        assert foreign_files(ALL, masked) == (path,)


def test_the_table_is_of_all_that_is_shipped() -> None:
    assert {str(path.relative_to(DATA)) for path in DATA.rglob("*") if path.is_file()} == set(TEXTS)


def test_a_script_keeps_its_first_line() -> None:
    scripts = [file for file in ALL if file.mode == 0o755]
    assert len(scripts) == 2
    for file in scripts:
        first, second, *_ = file.text.splitlines()
        assert first.startswith("#!/")
        assert second.startswith("# Written by `bootc container prepare`")


def test_links_lead_to_what_is_shipped() -> None:
    for link in LINKS:
        path = Path(link.path)
        assert f"{path.parent.parent / path.name}" in TEXTS
        assert link.target == f"../{path.name}"


def test_first_boot_keeps_off_what_is_off_by_name() -> None:
    (_mark, *lines) = preset(DISABLED).text.splitlines()
    assert lines == ["disable podman.service", "disable ssh.socket"]
    (changed,) = written(PRESENT, "cron.service")
    assert "disable cron.service" in changed.text


def test_units_that_are_yet_to_be_written_count_as_disabled() -> None:
    """So that preparing again finds the same units, and has nothing to do."""
    timer = "bootc-fetch-apply-updates.timer"
    (first,) = (file for file in ALL if file.path.endswith("89-bootc.preset"))
    assert {f"disable {unit}" for unit in (*DISABLED, *OURS)} == set(first.text.splitlines()[1:])
    assert timer in OURS
    enabled = image_files(TEXTS, PRESENT, (*DISABLED, *OURS[:1]))
    assert timer not in enabled[-1].text


def test_install_configuration_is_valid_and_chooses_ext4() -> None:
    path = "usr/lib/bootc/install/00-debian.toml"
    tomllib.loads(PRESENT[path])
    assert merge_install_config([(path, PRESENT[path])], "x86_64").filesystem == "ext4"


def test_grub_menu_generator_is_a_program_that_python_can_compile() -> None:
    (generator,) = (file for file in FILES if file.path == "usr/lib/bootc/grub-menu")
    assert generator.mode == 0o755
    compile(generator.text, generator.path, "exec")


def test_a_link_with_a_name_that_is_no_text_is_somebody_elses() -> None:
    (wanted, *_) = FILES
    assert foreign_files([wanted], {wanted.path: "/x\udcff"}) == (wanted.path,)
