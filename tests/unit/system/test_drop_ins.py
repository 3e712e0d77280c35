from pathlib import Path

import pytest

from bootcpy.errors import ConfigurationError
from bootcpy.system.drop_ins import read_drop_ins


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
    assert read_drop_ins([usr, tmp_path / "missing", etc], suffix=".toml") == (
        (str(etc / "40-overridden.toml"), "etc"),
        (str(usr / "50-kept.toml"), "kept"),
        (str(etc / "60-new.toml"), "new"),
    )


def test_read_drop_ins_names_the_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigurationError, match=r"cannot read .*a\.toml"):
        read_drop_ins([tmp_path], suffix=".toml")


def test_read_drop_ins_refuses_other_encodings(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        read_drop_ins([tmp_path], suffix=".toml")
