from pathlib import Path

from bootcpy.system.files import durable


def test_write_text_goes_through_no_link(tmp_path: Path) -> None:
    """An image may have brought one, under the name that the new file has at first."""
    other, path = tmp_path / "other", tmp_path / "etc/fstab"
    other.write_text("other", encoding="utf-8")
    path.parent.mkdir()
    (path.parent / ".fstab.new").symlink_to(other)
    durable.write_text(path, "new", mode=0o600)
    assert (path.read_text(encoding="utf-8"), path.stat().st_mode & 0o777) == ("new", 0o600)
    assert other.read_text(encoding="utf-8") == "other"
    assert [each.name for each in path.parent.iterdir()] == ["fstab"]
