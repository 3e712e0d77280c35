import pytest

from bootcpy.model.host.etc_merge import EtcKind, Incoming, Node, find_conflicts, find_left_behind


def _node(kind: EtcKind, content: str = "", *, mode: int = 0o644) -> Node:
    return Node(kind=kind, mode=mode, uid=0, gid=0, content=content)


_DIR, _FILE = _node(EtcKind.DIRECTORY), _node(EtcKind.FILE, "1")
_CHANGED, _CHMODDED = _node(EtcKind.FILE, "2"), _node(EtcKind.FILE, "1", mode=0o600)
_LINK, _OTHER_LINK = _node(EtcKind.LINK, "a"), _node(EtcKind.LINK, "b")
_PIPE = _node(EtcKind.SPECIAL)
_SHIPPED_DIR = {"x": _DIR, "x/y": _FILE}
_NOW_DIR = {"x": EtcKind.DIRECTORY, "x/y": EtcKind.FILE}
_NOW_FILE = {"x": EtcKind.FILE}

_AGAINST_DIRECTORY = "/etc/x is a {} on this host and a directory in the image"
_AGAINST_FILE = ("/etc/x is a directory with changes on this host and a file in the image",)


@pytest.mark.parametrize(
    ("shipped", "current", "incoming", "expected"),
    [
        pytest.param({}, {}, {}, (), id="nothing"),
        pytest.param({"x": _FILE}, {"x": _FILE}, _NOW_DIR, (), id="unchanged file, directory"),
        pytest.param(
            {"x": _FILE},
            {"x": _CHANGED},
            _NOW_DIR,
            (_AGAINST_DIRECTORY.format("file"),),
            id="changed file, directory",
        ),
        pytest.param(
            {"x": _FILE},
            {"x": _CHMODDED},
            _NOW_DIR,
            (_AGAINST_DIRECTORY.format("file"),),
            id="file with another mode, directory",
        ),
        pytest.param(
            {}, {"x": _FILE}, _NOW_DIR, (_AGAINST_DIRECTORY.format("file"),), id="added file"
        ),
        pytest.param(
            {},
            {"x": _PIPE},
            _NOW_DIR,
            (_AGAINST_DIRECTORY.format("special file"),),
            id="added pipe",
        ),
        pytest.param({}, {"x": _PIPE}, {}, (), id="a pipe in nobody's way"),
        pytest.param(
            {"x": _LINK},
            {"x": _OTHER_LINK},
            _NOW_DIR,
            (_AGAINST_DIRECTORY.format("symbolic link"),),
            id="changed link, directory",
        ),
        pytest.param({"x": _LINK}, {}, _NOW_DIR, (), id="removed link, directory"),
        pytest.param(
            _SHIPPED_DIR,
            {"x": _LINK},
            _NOW_DIR,
            (_AGAINST_DIRECTORY.format("symbolic link"),),
            id="link in place of a directory",
        ),
        pytest.param(_SHIPPED_DIR, _SHIPPED_DIR, _NOW_FILE, (), id="unchanged directory, file"),
        pytest.param(
            _SHIPPED_DIR,
            {**_SHIPPED_DIR, "x/z": _FILE},
            _NOW_FILE,
            _AGAINST_FILE,
            id="directory with a file more, file",
        ),
        pytest.param(
            _SHIPPED_DIR, {"x": _DIR}, _NOW_FILE, _AGAINST_FILE, id="directory with a file less"
        ),
        pytest.param(
            {**_SHIPPED_DIR, "x/d": _DIR},
            {**_SHIPPED_DIR, "x/d": _DIR, "x/d/e": _FILE, "x/d/f": _FILE},
            _NOW_FILE,
            _AGAINST_FILE,
            id="two changes further down, named once",
        ),
        pytest.param(_SHIPPED_DIR, {}, _NOW_FILE, (), id="removed directory, file"),
        pytest.param({}, _SHIPPED_DIR, _NOW_FILE, (), id="added directory replaces the file"),
        pytest.param(
            {},
            {"x": _DIR, "x/a": _FILE},
            {"x": EtcKind.DIRECTORY, "x/a": EtcKind.DIRECTORY},
            ("/etc/x/a is a file on this host and a directory in the image",),
            id="in an added directory",
        ),
    ],
)
def test_find_conflicts(
    shipped: dict[str, Node],
    current: dict[str, Node],
    incoming: dict[str, EtcKind],
    expected: tuple[str, ...],
) -> None:
    wrapped = {path: Incoming(kind=kind) for path, kind in incoming.items()}
    assert find_conflicts(shipped, current, wrapped) == expected


_AGAINST_LINK = (
    "/etc/x is a directory with changes on this host and a symbolic link in the image",
)


@pytest.mark.parametrize(
    ("current", "target", "expected"),
    [
        pytest.param({"x": _DIR, "x/y": _CHANGED}, "z", (), id="to a directory"),
        pytest.param({"x": _DIR, "x/y": _CHANGED}, "a/../z", (), id="to a directory, oddly put"),
        pytest.param({"x": _DIR, "x/y": _CHANGED}, "again", (), id="to a link to a directory"),
        pytest.param({"x": _DIR, "x/y": _CHANGED}, "x", _AGAINST_LINK, id="to itself"),
        pytest.param({"x": _DIR, "x/y": _CHANGED}, "gone", _AGAINST_LINK, id="to nothing"),
        pytest.param({"x": _DIR, "x/y": _CHANGED}, "/usr/x", _AGAINST_LINK, id="into /usr"),
        pytest.param({"x": _DIR, "x/y": _CHANGED}, "//lib/x", _AGAINST_LINK, id="into /lib"),
        pytest.param({"x": _DIR, "x/y": _CHANGED}, "/var/lib/x", (), id="into /var"),
        pytest.param({"x": _DIR, "x/y": _CHANGED}, "../var", (), id="above"),
        pytest.param({"x": _DIR}, "gone", (), id="only a removal"),
        pytest.param(_SHIPPED_DIR, "gone", (), id="no change"),
    ],
)
def test_find_conflicts_with_a_link_for_a_directory(
    current: dict[str, Node], target: str, expected: tuple[str, ...]
) -> None:
    incoming = {
        "x": Incoming(kind=EtcKind.LINK, target=target),
        "z": Incoming(kind=EtcKind.DIRECTORY),
        "again": Incoming(kind=EtcKind.LINK, target="z"),
    }
    assert find_conflicts(_SHIPPED_DIR, current, incoming) == expected


def test_find_left_behind() -> None:
    current = {"x": _DIR, "x/pipe": _PIPE, "file": _FILE, "a": _PIPE, "link": _LINK}
    assert find_left_behind(current) == ("a", "x/pipe")
