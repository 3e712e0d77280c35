"""One table for the kernel's way of staying below a root and for ours."""

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from bootcpy.system.files import below
from bootcpy.system.files.below import Links

Opener = Callable[[int, str, Links], int]


@pytest.fixture(params=[below.open_in_kernel, below.open_by_steps], ids=["kernel", "steps"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    chosen: Opener = request.param
    directory = os.open(tmp_path, os.O_PATH)
    try:
        os.close(chosen(directory, ".", Links.INSIDE))
    except OSError as e:
        if e.errno in {errno.ENOSYS, errno.EPERM}:
            pytest.skip("this kernel or container has no openat2")
        raise
    finally:
        os.close(directory)
    return chosen


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root beside a file and a directory that nobody is to reach."""
    (tmp_path / "secret").write_text("host", encoding="utf-8")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("host", encoding="utf-8")
    root = tmp_path / "root"
    (root / "etc/deep").mkdir(parents=True)
    (root / "etc/file").write_text("image", encoding="utf-8")
    (root / "etc/deep/file").write_text("deep", encoding="utf-8")
    for name, target in {
        "to-file": "etc/file",
        "absolute": "/etc/file",
        "up": "../../../etc/file",
        "host": str(tmp_path / "secret"),
        "beside": "../secret",
        "circle": "circle",
        "nowhere": "gone",
        "directory": "etc/deep",
        "back": "etc/deep/../file",
        "etc/deep/root": "/",
        "chain": "directory/root/etc/file",
        "through-file": "etc/file/x",
        "slashes": "//etc///./deep/",
    }.items():
        (root / name).symlink_to(target)
    return root


def reached(opener: Opener, root: Path, path: str, links: Links) -> str:
    """Return what was reached, by its path below the root, or the error."""
    directory = os.open(root, os.O_PATH)
    try:
        fd = opener(directory, path, links)
    except OSError as e:
        return errno.errorcode[e.errno or 0]
    finally:
        os.close(directory)
    try:
        return str(Path(f"/proc/self/fd/{fd}").readlink()).removeprefix(str(root)) or "/"
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("path", "inside", "not_last", "refuse"),
    [
        (".", "/", "/", "/"),
        ("etc/file", "/etc/file", "/etc/file", "/etc/file"),
        ("etc//./file", "/etc/file", "/etc/file", "/etc/file"),
        ("etc/../etc/file", "/etc/file", "/etc/file", "/etc/file"),
        ("..", "/", "/", "EXDEV"),
        ("../../secret", "ENOENT", "ENOENT", "EXDEV"),
        ("gone", "ENOENT", "ENOENT", "ENOENT"),
        ("etc/file/x", "ENOTDIR", "ENOTDIR", "ENOTDIR"),
        ("to-file", "/etc/file", "/to-file", "ELOOP"),
        ("absolute", "/etc/file", "/absolute", "ELOOP"),
        ("up", "/etc/file", "/up", "ELOOP"),
        ("host", "ENOENT", "/host", "ELOOP"),
        ("beside", "ENOENT", "/beside", "ELOOP"),
        ("circle", "ELOOP", "/circle", "ELOOP"),
        ("nowhere", "ENOENT", "/nowhere", "ELOOP"),
        ("directory/file", "/etc/deep/file", "/etc/deep/file", "ELOOP"),
        ("back", "/etc/file", "/back", "ELOOP"),
        ("etc/deep/root/etc/deep/root/../..", "/", "/", "ELOOP"),
        ("chain", "/etc/file", "/chain", "ELOOP"),
        ("through-file", "ENOTDIR", "/through-file", "ELOOP"),
        ("slashes/file", "/etc/deep/file", "/etc/deep/file", "ELOOP"),
    ],
)
def test_paths_stay_below_the_root(
    opener: Opener, root: Path, path: str, inside: str, not_last: str, refuse: str
) -> None:
    found = [reached(opener, root, path, links) for links in Links]
    assert found == [inside, not_last, refuse]


def test_a_chain_of_links_ends_where_the_kernels_does(opener: Opener, root: Path) -> None:
    for number in range(50):
        (root / f"l{number}").symlink_to(f"l{number + 1}" if number < 49 else "etc/file")
    assert reached(opener, root, "l10", Links.INSIDE) == "/etc/file"
    assert reached(opener, root, "l9", Links.INSIDE) == "ELOOP"


def test_no_descriptor_is_left_open(opener: Opener, root: Path) -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    for path in ("chain", "circle", "etc/deep/root/etc/file/x", "../x"):
        for links in Links:
            reached(opener, root, path, links)
    assert len([*Path("/proc/self/fd").iterdir()]) == before


@pytest.fixture(params=["kernel", "steps"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the whole module use one of the two ways."""
    if request.param == "steps":

        def forbidden(*_: object) -> int:
            raise OSError(errno.EPERM, "as a container forbids it")

        monkeypatch.setattr(below, "open_in_kernel", forbidden)


pytestmark = pytest.mark.usefixtures("either")


def test_reading_follows_links_inside_only(root: Path) -> None:
    assert below.read_text(root, "/absolute", limit_bytes=5) == "image"
    assert below.read_text(root, Path("chain"), limit_bytes=5) == "image"
    with pytest.raises(FileNotFoundError) as e:
        below.read_text(root, "host", limit_bytes=9)
    assert e.value.filename == str(root / "host")
    assert (below.is_file(root, "up"), below.is_file(root, "host")) == (True, False)
    assert (below.is_directory(root, "directory"), below.is_directory(root, "up")) == (True, False)
    assert below.link_target(root, "beside") == "../secret"
    assert below.link_target(root, "etc") is below.link_target(root, "gone") is None
    assert below.link_target(root, "directory/root") == "/"


def test_reading_has_a_limit(root: Path) -> None:
    (root / "large").write_bytes(bytes(65537))
    with pytest.raises(OSError, match="it is larger than 64 KiB") as e:
        below.read_bytes(root, "large", limit_bytes=65536)
    assert e.value.filename == str(root / "large")
    assert len(below.read_bytes(root, "large", limit_bytes=65537)) == 65537


def test_names_are_sorted_and_have_a_limit(root: Path) -> None:
    assert below.names(root, "etc", limit=2) == ("deep", "file")
    assert below.names(root, "directory", limit=2) == ("file", "root")
    assert below.names(root, "gone", limit=2) == below.names(root, "etc/file", limit=2) == ()
    with pytest.raises(OSError, match="more than 1 entries"):
        below.names(root, "etc", limit=1)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as own:
        os.chdir(path.parent)  # the name of a socket is short
        own.bind(path.name)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("make", [os.mkfifo, make_socket, os.mkdir])
def test_only_regular_files_are_read(
    root: Path, make: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    make(root / "special")
    with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
        below.open_file(root, "special")
    assert not below.is_file(root, "special")


def test_a_file_is_written_whole_and_with_its_mode(root: Path) -> None:
    below.write_text(root, "etc/file", "new", mode=0o600)
    below.write_text(root, "etc/other", "other")
    found = {path.name: path.stat().st_mode & 0o7777 for path in (root / "etc").iterdir()}
    assert found == {"deep": 0o755, "file": 0o600, "other": 0o644}
    assert (root / "etc/file").read_text(encoding="utf-8") == "new"


def test_writing_replaces_a_link_and_follows_none(root: Path) -> None:
    outside = root.parent / "outside"
    (root / "etc/out").symlink_to(outside)
    (root / "etc/leak").symlink_to(outside / "file")
    below.write_text(root, "etc/leak", "new")
    assert not (root / "etc/leak").is_symlink()
    for path in ("etc/out/file", "directory/file", "../outside/file", "to-file/x"):
        with pytest.raises(OSError, match=path) as e:
            below.write_text(root, path, "new")
        assert e.value.errno in below.IN_THE_WAY
    assert (outside / "file").read_text(encoding="utf-8") == "host"
    assert [path.name for path in outside.iterdir()] == ["file"]


def test_nothing_is_left_of_a_file_that_cannot_be_written(root: Path) -> None:
    with pytest.raises(OSError, match="etc/deep"):
        below.write_text(root, "etc/deep", "a directory is there")
    with pytest.raises(UnicodeEncodeError):
        below.write_text(root, "etc/text", "\ud800")
    assert sorted(path.name for path in (root / "etc").iterdir()) == ["deep", "file"]


def test_a_directory_is_made_once(root: Path) -> None:
    for _ in range(2):
        below.make_directory(root, "etc/new", mode=0o750)
    assert (root / "etc/new").stat().st_mode & 0o7777 == 0o750
    for path in ("etc/file", "directory", "directory/new", "../new"):
        with pytest.raises(OSError, match=path) as e:
            below.make_directory(root, path)
        assert e.value.errno in below.IN_THE_WAY
    assert not (root.parent / "new").exists()


def test_directories_are_made_as_far_as_they_are_missing(root: Path) -> None:
    below.make_directories(root, "etc/a/b")
    below.make_directories(root, "etc/a/b/c")
    assert (root / "etc/a/b/c").is_dir()
    with pytest.raises(OSError, match="directory") as e:
        below.make_directories(root, "directory/a")
    assert e.value.errno in below.IN_THE_WAY


def test_exists_looks_inside(root: Path) -> None:
    paths = ("etc", "absolute", "chain", "host", "nowhere", "gone", "circle")
    assert [path for path in paths if below.exists(root, path)] == ["etc", "absolute", "chain"]
