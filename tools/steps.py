"""Show long work as it happens: named, timed steps, and commands that are never silent."""

import os
import select
import shlex
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from bootcpy.errors import BootcpyError
from tools import qemu

_SILENCE_S = 4.0
SPEAKER = "BOOTCPY_TOOLS_SPEAKER"  # the variable with the name of one of several that speak at once


def say(text: str) -> None:
    """Print a line of detail below the current step."""
    for line in text.splitlines():
        _print(f"    {line}")


def _print(line: str) -> None:
    speaker = os.environ.get(SPEAKER) or os.environ.get("PYTEST_XDIST_WORKER")
    print(f"{speaker}: {line}" if speaker else line, file=sys.stderr, flush=True)


def report(error: BootcpyError) -> int:
    """Say what went wrong and what to do about it; return the exit status of the program."""
    print(f"error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    return error.exit_status


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce `title`, and say afterwards how long it took."""
    _print(f"==> {title}")
    started = time.monotonic()
    yield
    say(f"done in {time.monotonic() - started:.0f} s")


def run(argv: Sequence[str | os.PathLike[str]], *, env: Mapping[str, str] | None = None) -> str:
    """Run a command, show its output line by line as it comes, and return that output.

    While it prints nothing, a line every few seconds says that it still runs.

    Raises:
        BootcpyError: it is not installed, or ended with a status other than 0.
    """
    program = os.path.basename(argv[0])  # noqa: PTH119 - argv may hold text or a path
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=None if env is None else {**os.environ, **env},
            preexec_fn=qemu.die_with_parent,  # noqa: PLW1509 - no threads here
        )
    except FileNotFoundError as e:
        raise BootcpyError(f"{program} is not installed", hint="./dev installs it") from e
    with child:
        try:
            said = _show(child)
        except BaseException:
            # The terminal's Ctrl-C went to the child as well: let it clean up, but not for ever.
            child.terminate()
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
            raise
    if child.returncode != 0:
        words = (os.fspath(argument) for argument in argv)
        shown = shlex.join("…" if "\n" in word else word for word in words)
        hint = "what it said is above"
        raise BootcpyError(f"status {child.returncode} of: {shown}", hint=hint)
    return said


def _show(child: "subprocess.Popen[bytes]") -> str:
    said = bytearray()
    line = bytearray()
    recent: deque[str] = deque(maxlen=1)
    started = time.monotonic()
    if child.stdout is None:
        return ""
    output = child.stdout.fileno()
    while True:
        ready, _, _ = select.select([output], [], [], _SILENCE_S)
        if not ready:
            doing = f" ({recent[0]})" if recent else ""
            say(f"… {time.monotonic() - started:.0f} s{doing}")
            continue
        added = os.read(output, 65536)
        if not added:
            break
        said += added
        line += added.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *whole, line = line.split(b"\n")
        for text in (raw.decode(errors="replace").rstrip() for raw in whole):
            if text:
                recent.append(text[:70])
                say(text)
    if line:
        say(line.decode(errors="replace"))
    return said.decode(errors="replace")
