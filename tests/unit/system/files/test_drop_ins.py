import os
from pathlib import Path

import pytest

from bootcpy.errors import ConfigurationError
from bootcpy.system.files.drop_ins import read_drop_ins


def test_read_drop_ins_overrides_masks_and_sorts(tmp_path: Path) -> None:
    usr, etc = tmp_path / "usr", tmp_path / "etc"
    usr.mkdir()
    etc.mkdir()
    (usr / "50-kept.toml").write_text("kept")
    (usr / "40-overridden.toml").write_text("usr")
    (usr / "30-masked.toml").write_text("masked")
    (usr / "20-emptied.toml").write_text("emptied")
    (usr / "README").write_text("not a drop-in")
    (etc / "40-overridden.toml").write_text("etc")
    (etc / "30-masked.toml").symlink_to("/dev/null")
    (etc / "20-emptied.toml").touch()
    (etc / "60-new.toml").write_text("new")
    assert read_drop_ins(tmp_path, [Path("usr"), Path("missing"), Path("etc")], suffix=".toml") == (
        (str(etc / "40-overridden.toml"), "etc"),
        (str(usr / "50-kept.toml"), "kept"),
        (str(etc / "60-new.toml"), "new"),
    )


def test_read_drop_ins_names_the_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigurationError, match=r"cannot read .*a\.toml"):
        read_drop_ins(tmp_path, [Path()], suffix=".toml")


def test_read_drop_ins_refuses_other_encodings(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        read_drop_ins(tmp_path, [Path()], suffix=".toml")


def test_read_drop_ins_has_limits(tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    (tmp_path / "large/a.toml").write_bytes(b"#" * 65_537)
    with pytest.raises(ConfigurationError, match=r"large/a\.toml: it is larger than 64 KiB"):
        read_drop_ins(tmp_path, [Path("large")], suffix=".toml")
    (tmp_path / "many").mkdir()
    for number in range(1001):
        (tmp_path / f"many/{number}").touch()
    with pytest.raises(ConfigurationError, match=r"many: it has more than 1,000 entries"):
        read_drop_ins(tmp_path, [Path("many")], suffix=".toml")


@pytest.mark.timeout(5)
def test_read_drop_ins_waits_for_no_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.toml")
    with pytest.raises(ConfigurationError, match=r"a\.toml: it is not a regular file"):
        read_drop_ins(tmp_path, [Path()], suffix=".toml")


def test_read_drop_ins_follows_links_below_the_root_only(tmp_path: Path) -> None:
    (tmp_path / "secret.toml").write_text("host")
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/shared").write_text("image")
    (tmp_path / "root/etc/a.toml").symlink_to("/shared")
    root = tmp_path / "root"
    expected = ((str(root / "etc/a.toml"), "image"),)
    assert read_drop_ins(root, [Path("etc")], suffix=".toml") == expected
    (root / "etc/b.toml").symlink_to(tmp_path / "secret.toml")
    with pytest.raises(ConfigurationError, match=r"cannot read .*b\.toml: No such file"):
        read_drop_ins(root, [Path("etc")], suffix=".toml")
