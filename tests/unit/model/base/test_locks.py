import pytest

from bootcpy.model.base.locks import Process, command_of, describe_holders, holds_lock

UPGRADE = Process(pid=120, parent=1, command="/usr/bin/python3 -sE /usr/bin/bootc upgrade")
CHILD = Process(pid=121, parent=120, command="/usr/bin/python3 -sE /usr/bin/bootc upgrade")
EVIL = Process(pid=7, parent=1, command="x\x1b[2J\nerror: all is lost" + "y" * 200)


@pytest.mark.parametrize(
    ("holders", "said"),
    [
        ([], ""),
        (
            [CHILD, UPGRADE],
            " held by process 120 (/usr/bin/python3 -sE /usr/bin/bootc upgrade)",
        ),
        ([CHILD], " held by process 121 (/usr/bin/python3 -sE /usr/bin/bootc upgrade)"),
    ],
)
def test_who_is_waited_for(holders: list[Process], said: str) -> None:
    assert describe_holders(holders) == said


def test_a_command_line_cannot_forge_lines() -> None:
    said = describe_holders([UPGRADE, EVIL])
    assert said.startswith(r" held by process 7 (x\x1b[2J\nerror: all is losty")
    assert said.endswith("y…), process 120 (/usr/bin/python3 -sE /usr/bin/bootc upgrade)")


@pytest.mark.parametrize(
    ("fdinfo", "held"),
    [
        ("pos:\t0\nflags:\t02\nlock:\t1: OFDLCK  ADVISORY  WRITE -1 00:2b:5 0 EOF\n", True),
        ("pos:\t0\nflags:\t02\nmnt_id:\t29\n", False),
    ],
)
def test_holds_lock(fdinfo: str, held: bool) -> None:  # noqa: FBT001 - a row of the table
    assert holds_lock(fdinfo) is held


@pytest.mark.parametrize(
    ("cmdline", "comm", "command"),
    [
        (b"bootc\0upgrade\0", b"python3\n", "bootc upgrade"),
        (b"", b"kthreadd\n", "kthreadd"),
        (b"a\xff\0", b"a\n", "a\\xff"),
    ],
)
def test_command_of(cmdline: bytes, comm: bytes, command: str) -> None:
    assert command_of(cmdline, comm) == command
