import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bootcpy.errors import BootcpyError, ToolFailedError
from bootcpy.system.process.run import run, spawn, tail
from tests.refusals import refused
from tests.unit.conftest import FakeTool

SHELL = "/bin/sh"


def test_run_returns_stdout_and_passes_arguments(fake_tool: FakeTool) -> None:
    calls = fake_tool("mkfs.xfs", stdout="made\n")
    assert run("mkfs.xfs", "-m", "uuid=1", Path("/dev/x1")) == "made\n"
    assert calls.read_text() == "-m uuid=1 /dev/x1\n"


def test_run_gives_the_tool_no_terminal_empty_stdin_and_plain_language(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    script = 'test -t 1 || echo "no terminal"; read x || echo "no input"; echo $LANG $LC_ALL $MORE'
    printed = run(SHELL, "-c", script, env={"MORE": "more"})
    assert printed == "no terminal\nno input\nC.UTF-8 C.UTF-8 more\n"


def test_run_feeds_stdin() -> None:
    assert (
        run(SHELL, "-c", "while read x; do echo got $x; done", stdin="a\nb\n") == "got a\ngot b\n"
    )


def test_run_takes_a_status_as_an_answer() -> None:
    assert run(SHELL, "-c", "echo free; exit 2", ok=(0, 2)) == "free\n"


@pytest.mark.parametrize(
    ("script", "status", "message"),
    [
        ("echo one >&2; echo two >&2; exit 3", 3, "(exit status 3): one; two"),
        ("exit 1", 1, "(exit status 1): no message"),
        ("kill -9 $$", -9, "(killed by signal 9): no message"),
    ],
)
def test_run_says_how_a_tool_failed(script: str, status: int, message: str) -> None:
    hint = "see its message, and the kernel's messages (`dmesg`), for the cause"
    with refused(ToolFailedError, hint=hint) as caught:
        run(SHELL, "-c", script)
    assert caught.value.status == status
    assert caught.value.message.endswith(message)
    assert caught.value.message.startswith("/bin/sh -c '")


def test_spawn_names_what_is_no_program(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch(mode=0o644)
    with refused(BootcpyError, f"^{file} cannot be run: Permission", hint="install it again"):
        spawn([file])


def test_run_names_a_program_that_is_not_installed() -> None:
    with refused(
        BootcpyError,
        r"^the program mkfs\.nope is not installed$",
        hint="install mkfs.nope and try again",
    ):
        run("mkfs.nope")


def test_run_ends_a_tool_that_takes_too_long() -> None:
    with refused(
        BootcpyError,
        r"did not finish within 0\.2 seconds$",
        hint="the machine may be short of memory, or a disk failing: see `dmesg`",
    ):
        run(SHELL, "-c", "while :; do :; done", timeout_s=0.2)


def test_run_ends_the_tool_before_a_signal_unwinds(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"""
import os, signal
from bootcpy.system.process.run import run
class Stop(BaseException): pass
def stop(*_): raise Stop
signal.signal(signal.SIGTERM, stop)
try:
    run("/bin/sh", "-c", "echo $$ >{pid_file}; while :; do :; done")
except Stop:
    try:
        os.kill(int(open({str(pid_file)!r}).read()), 0)
    except ProcessLookupError:
        print("gone")
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + 30
        while not (pid_file.exists() and pid_file.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=30)
    assert printed == b"gone\n"


def test_tail_is_one_short_line() -> None:
    assert tail("\n a\n\nb \n") == "a; b"
    assert len(tail("x" * 5000)) == 1024


def test_spawn_talks_over_descriptors() -> None:
    read, write = os.pipe()
    with spawn([SHELL, "-c", "echo hello"], stdout=write) as child:
        os.close(write)
        assert os.read(read, 100) == b"hello\n"
    os.close(read)
    assert child.returncode == 0


def test_spawn_names_a_program_that_is_not_installed() -> None:
    with refused(
        BootcpyError,
        r"^the program skopeo-nope is not installed$",
        hint="install skopeo-nope and try again",
    ):
        spawn(["skopeo-nope"])


def test_what_is_ignored_stays_so_in_what_is_spawned() -> None:
    """As SIGHUP below nohup(1)."""
    ask = "import signal; print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)"
    program = "import sys; from bootcpy.system.process.run import spawn; "
    program += f"spawn([sys.executable, '-c', {ask!r}], stdout=1).wait()"
    done = subprocess.run(
        ["/bin/sh", "-c", "trap '' HUP; exec \"$@\"", "sh", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"


def test_a_child_that_is_started_when_a_signal_arrives_is_ended() -> None:
    program = """
import os, signal, sys
from pathlib import Path
from bootcpy.system.process.run import spawn
def stop(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGTERM, stop)
os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGTERM))
try:
    spawn(["sleep", "1000"], env={"PATH": "/usr/bin:/bin"})
except KeyboardInterrupt:
    print("left:", Path(f"/proc/self/task/{os.getpid()}/children").read_text())
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert (ran.stdout, ran.stderr) == ("left: \n", "")
