import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from bootcpy.model.base.signals import ENDING_SIGNALS

ROOT = Path(__file__).parents[3]
_PROGRAM = """
import os, signal, sys, time
from contextlib import contextmanager
from bootcpy.cli.stopping import Stopped, Stopping

def send(signum=signal.SIGTERM):
    os.kill(os.getpid(), signum)

def wait():
    while True:
        time.sleep(0.01)

class Resource:
    def __del__(self):
        send()
        for _ in range(1000):
            pass

{definitions}
try:
    with Stopping(to_the_end=True):
{body}
except Stopped as e:
    print("stopped by", e.signal.name)
    sys.exit(128 + e.signal)
"""


def run(body: str, definitions: str = "") -> tuple[int, list[str], str]:
    """Run a program that stops itself; return its status, its lines and what is on stderr."""
    program = _PROGRAM.format(
        definitions=textwrap.dedent(definitions),
        body=textwrap.indent(textwrap.dedent(body), " " * 8),
    )
    done = subprocess.run(
        [sys.executable, "-u", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


@pytest.mark.parametrize("signum", ENDING_SIGNALS)
def test_a_signal_unwinds(signum: signal.Signals) -> None:
    body = f"""
    try:
        send({signum.value})
        wait()
    finally:
        print("cleaned up")
    """
    assert run(body) == (128 + signum, ["cleaned up", f"stopped by {signum.name}"], "")


def test_what_a_destructor_swallows_is_raised_again() -> None:
    body = """
    try:
        Resource()
        print("swallowed")
        wait()
    finally:
        print("cleaned up")
    """
    status, said, stderr = run(body)
    # On a busy machine the next attempt may come before the first line is printed.
    assert (status, said[-2:], stderr) == (143, ["cleaned up", "stopped by SIGTERM"], "")


def test_a_second_signal_does_not_wait_for_the_timer() -> None:
    body = """
    try:
        Resource()
        send()
        print("not reached")
    finally:
        print("cleaned up")
    """
    assert run(body) == (143, ["cleaned up", "stopped by SIGTERM"], "")


def test_what_is_swallowed_always_ends_the_program_in_the_end() -> None:
    definitions = """
    class Busy:
        def __del__(self):
            while True:
                pass
    """
    body = """
    signal.signal(signal.SIGVTALRM, lambda *_: send())
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.05)
    while True:
        Busy()
    """
    status, _, stderr = run(body, definitions)
    assert (status, stderr) == (143, "")


def test_clean_up_is_left_to_itself() -> None:
    definitions = """
    @contextmanager
    def slow(name):
        try:
            yield
        finally:
            try:
                os.kill(0x3FFFFFFF, 0)
            except ProcessLookupError:
                time.sleep(0.6)
            time.sleep(0.6)
            print(name)
    """
    body = """
    with slow("first in"), slow("last in"):
        send()
        wait()
    """
    expected = (143, ["last in", "first in", "stopped by SIGTERM"], "")
    assert run(body, definitions) == expected


def test_who_insists_is_heard_during_a_clean_up() -> None:
    body = """
    try:
        send()
        wait()
    finally:
        for count in range(2, 10):
            print(count)
            send(signal.SIGINT)
            time.sleep(0.05)
    """
    assert run(body) == (143, ["2", "3", "4"], "")


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    program = "import os, signal; from bootcpy.cli.stopping import Stopping\n"
    program += "with Stopping(to_the_end=True): os.kill(os.getpid(), signal.SIGHUP); print('on')"
    done = subprocess.run(
        ["/bin/sh", "-c", "trap '' HUP; exec \"$@\"", "sh", sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "on\n", "")


def test_a_signal_while_a_class_is_made() -> None:
    status, lines, stderr = run(
        """
        class Told:
            def __set_name__(self, owner, name):
                send()
                wait()

        class Owner:
            told = Told()
        """
    )
    assert (status, lines, stderr) == (143, ["stopped by SIGTERM"], "")


def test_the_handlers_stand_before_anything_slow_is_imported() -> None:
    slow = ("typer", "click", "dataclasses", "inspect", "logging", "shutil", "tempfile", "ctypes")
    script = f"import sys, bootcpy.cli.app; print([m for m in {slow!r} if m in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({str(ROOT)!r}); {script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "[]\n"


def _wait_for_handlers(running: "subprocess.Popen[str]") -> None:
    """Wait until the process handles SIGTERM, as Python itself does not, or has ended."""
    while running.poll() is None:
        status = Path(f"/proc/{running.pid}/status").read_text(encoding="utf-8")
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        if int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.0005)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_there_is_no_bad_moment_for_a_signal(signum: signal.Signals) -> None:
    """It ends as it should, or was done already, but never with a traceback."""
    told = f"bootcpy: stopped by {signum.name}\n", f"bootc: stopped by {signum.name}\n"
    allowed = {(-signum, ""), (0, ""), *((128 + signum, text) for text in told)}
    for offset_ms in range(0, 400, 16):
        with subprocess.Popen(
            [sys.executable, "-m", "bootcpy", "--help"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        ) as running:
            _wait_for_handlers(running)
            time.sleep(offset_ms / 1000)
            running.send_signal(signum)
            _, stderr = running.communicate(timeout=60)
        assert (running.returncode, stderr) in allowed, offset_ms
