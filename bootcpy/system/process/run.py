"""Running other programs: the only place where a process is started.

`run()` is for tools that finish: arguments in, text out. It is built on `sh`,
which forks in Python and therefore must not be called while the process has
more than one thread; nothing in bootcpy starts one. `spawn()` is for children that
talk to us over descriptors while they run (skopeo's image proxy, decompressors).
"""

import logging
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from bootcpy.errors import BootcpyError, ToolFailedError
from bootcpy.model.base.signals import ENDING_SIGNALS, INTERRUPTING_SIGNALS
from bootcpy.system.process.libc import parent_death

log = logging.getLogger(__name__)

Spawned = subprocess.Popen[bytes]

# Output is parsed, so it must not be translated.
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}
_STDERR_TAIL_BYTES = 1024  # keeps an error readable, as bootc's command helpers do


def _child_preparation() -> Callable[[], None]:
    """Return what lets a child be ended: by the signals, which were blocked, and by our own end."""
    die_with_parent = parent_death(signal.SIGTERM)

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTING_SIGNALS)
        die_with_parent()

    return prepare


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, **_ENVIRONMENT, **(extra or {})}


def tail(stderr: str) -> str:
    """Return the end of a tool's stderr on one line, short enough for a message."""
    text = stderr[-_STDERR_TAIL_BYTES:]
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def run(
    program: str,
    *args: str | os.PathLike[str],
    stdin: str = "",
    ok: Collection[int] = (0,),
    timeout_s: float | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run `program` to completion and return its stdout.

    The child has no terminal, an empty stdin unless `stdin` is given, and the
    C.UTF-8 locale. It dies with this process.

    Raises:
        ToolFailedError: its status is not in `ok`, or a signal killed it (negative status).
        BootcpyError: `program` is not installed, or ran longer than `timeout_s` seconds.
    """
    import sh  # noqa: PLC0415 - costs a tenth of a second that `status` must not pay

    argv = [program, *(os.fspath(arg) for arg in args)]
    log.debug("exec: %s", shlex.join(argv))
    # Held back until there is something to kill: a tool must not work on while `with`
    # blocks above take away what it works on.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTING_SIGNALS)
    try:
        running: Any = sh.Command(program)(
            *argv[1:],
            _in=stdin,
            _env=_environment(env),
            _ok_code=list(ok),
            _timeout=timeout_s,
            _tty_out=False,
            _preexec_fn=_child_preparation(),
            _bg=True,  # returns at once; sh waits no differently
            _bg_exc=False,
        )
        with _killed_on_exit(running):
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            running.wait()
    except sh.CommandNotFound as e:
        raise BootcpyError(
            f"the program {program} is not installed", hint=f"install {program} and try again"
        ) from e
    except sh.TimeoutException as e:
        raise BootcpyError(
            f"{program} did not finish within {timeout_s:g} seconds",
            hint="the machine may be short of memory, or a disk failing: see `dmesg`",
        ) from e
    except sh.ErrorReturnCode as e:
        stderr = e.stderr.decode(errors="replace")
        raise ToolFailedError(
            f"{shlex.join(argv)} failed ({_ending(e.exit_code)}): {tail(stderr) or 'no message'}",
            status=e.exit_code,
            stderr=stderr,
        ) from e
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    stdout: bytes = running.stdout
    return stdout.decode(errors="replace")


@contextmanager
def _killed_on_exit(running: Any) -> Generator[None]:  # noqa: ANN401 - sh is imported late
    """Return with the tool ended, whatever ends the context."""
    try:
        yield
    finally:
        if running.is_alive():
            running.process.kill()
            running.process.wait()


def _ending(status: int) -> str:
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"


@contextmanager
def _signals_deferred() -> Generator[None]:
    """Let the signals that end us arrive after the context.

    Python swallows what a handler raises while it is forking, and the signal with it.
    A mask would not do: libostree's threads take the signal then.
    """
    arrived: list[int] = []
    before = {
        each: signal.signal(each, lambda signum, _frame: arrived.append(signum))
        for each in ENDING_SIGNALS
        # What is ignored, as SIGHUP below nohup, is to stay so in what is started.
        if signal.getsignal(each) != signal.SIG_IGN
    }
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        for signum in arrived:
            signal.raise_signal(signum)


def spawn(
    argv: Sequence[str | os.PathLike[str]],
    *,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    pass_fds: Sequence[int] = (),
    env: Mapping[str, str] | None = None,
) -> Spawned:
    """Start a child that talks over descriptors, and return it running.

    `None` for a stream means /dev/null. The child dies with this process; the
    caller waits for it.

    Raises:
        BootcpyError: the program is not installed, or cannot be run.
    """
    log.debug("spawn: %s", shlex.join(os.fspath(arg) for arg in argv))
    null = subprocess.DEVNULL
    started: Spawned | None = None
    try:
        with _signals_deferred():
            started = subprocess.Popen(  # noqa: S603 - argv is built here, never by a shell
                [os.fspath(arg) for arg in argv],
                stdin=null if stdin is None else stdin,
                stdout=null if stdout is None else stdout,
                stderr=null if stderr is None else stderr,
                pass_fds=tuple(pass_fds),
                env=_environment(env),
                preexec_fn=_child_preparation(),  # noqa: PLW1509 - no threads, see the module text
            )
    except FileNotFoundError as e:
        program = os.fspath(argv[0])
        raise BootcpyError(
            f"the program {program} is not installed", hint=f"install {program} and try again"
        ) from e
    except OSError as e:  # such as a file that is no program
        raise BootcpyError(
            f"{os.fspath(argv[0])} cannot be run: {e.strerror}", hint="install it again"
        ) from e
    except BaseException:  # a signal that had arrived: nobody else knows of the child
        if started is not None:
            started.kill()
            started.wait()
        raise
    return started


def end(child: Spawned, *, patience_s: float) -> None:
    """Wait until `child` has ended; after `patience_s` seconds kill it."""
    try:
        child.wait(patience_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
