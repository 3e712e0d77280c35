import os
from pathlib import Path

import pytest

from bootcpy.model.image.tree import FileKind, content
from bootcpy.system.files.directory_tree import DirectoryTree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An image beside something of the host, with links into both."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("host")
    root = tmp_path / "root"
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/file").write_text("image")
    os.mkfifo(root / "pipe")
    for name, target in {
        "lib": "usr/lib",
        "absolute": "/usr/lib/file",
        "up": "../../../usr/lib/file",
        "out": f"{tmp_path}/outside/file",
        "out-relative": "../outside/file",
        "out-directory": f"{tmp_path}/outside",
        "circle": "circle",
    }.items():
        (root / name).symlink_to(target)
    return root


def test_what_is_inside_is_followed_and_nothing_else(root: Path) -> None:
    tree = DirectoryTree(root)
    kinds = {name: tree.kind(Path(name)) for name in (*tree.names(Path(), limit=99), "lib/file")}
    assert kinds == {
        "usr": FileKind.DIRECTORY,
        "lib": FileKind.DIRECTORY,
        "lib/file": FileKind.FILE,
        "absolute": FileKind.FILE,
        "up": FileKind.FILE,
        "pipe": FileKind.OTHER,
        "out": None,
        "out-relative": None,
        "out-directory": None,
        "circle": None,
    }
    assert content(tree, Path("up"), limit_bytes=5) == b"image"
    assert tree.names(Path("out-directory"), limit=9) == ()
    assert tree.link_target(Path("out-relative")) == "../outside/file"
    assert tree.link_target(Path("usr")) is None
    for name in ("out", "out-directory/file", "pipe", "usr"):
        with pytest.raises(OSError, match=r"No such file|not a regular file|Is a directory"):
            tree.open_file(Path(name))


def test_limits(root: Path) -> None:
    tree = DirectoryTree(root)
    with pytest.raises(OSError, match="it is larger than 4 B"):
        content(tree, Path("usr/lib/file"), limit_bytes=4)
    with pytest.raises(OSError, match="it has more than 8 entries"):
        tree.names(Path(), limit=8)
