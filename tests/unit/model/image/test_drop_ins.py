import os
from pathlib import Path

import pytest

from bootcpy.errors import ConfigurationError
from bootcpy.model.image.drop_ins import drop_ins
from bootcpy.system.files.directory_tree import DirectoryTree


def _toml(root: Path, *bases: str) -> tuple[tuple[str, str], ...]:
    return drop_ins(DirectoryTree(root), [Path(base) for base in bases], suffix=".toml")


def test_drop_ins_override_mask_and_sort(tmp_path: Path) -> None:
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
    assert _toml(tmp_path, "usr", "missing", "etc") == (
        ("/etc/40-overridden.toml", "etc"),
        ("/usr/50-kept.toml", "kept"),
        ("/etc/60-new.toml", "new"),
    )


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/a.toml").symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigurationError, match=r"^cannot read /etc/a\.toml: No such file"):
        _toml(tmp_path, "etc")


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/a.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match=r"^/etc/a\.toml is not UTF-8 text$"):
        _toml(tmp_path, "etc")


def test_drop_ins_have_limits(tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    (tmp_path / "large/a.toml").write_bytes(b"#" * 65_537)
    with pytest.raises(ConfigurationError, match=r"/large/a\.toml: it is larger than 64 KiB"):
        _toml(tmp_path, "large")
    (tmp_path / "many").mkdir()
    for number in range(1001):
        (tmp_path / f"many/{number}").touch()
    with pytest.raises(ConfigurationError, match=r"/many: it has more than 1,000 entries"):
        _toml(tmp_path, "many")


@pytest.mark.timeout(5)
def test_no_pipe_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.toml")
    with pytest.raises(ConfigurationError, match=r"a\.toml: it is not a regular file"):
        _toml(tmp_path, "")


def test_links_are_followed_below_the_root_only(tmp_path: Path) -> None:
    (tmp_path / "secret.toml").write_text("host")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "shared").write_text("image")
    (root / "etc/a.toml").symlink_to("/shared")
    assert _toml(root, "etc") == (("/etc/a.toml", "image"),)
    (root / "etc/b.toml").symlink_to(tmp_path / "secret.toml")
    with pytest.raises(ConfigurationError, match=r"cannot read .*b\.toml: No such file"):
        _toml(root, "etc")
