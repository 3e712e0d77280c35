"""A running guest: waiting for it, commands in it, restarting it, and cutting its power."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bootcpy.errors import BootcpyError
from tools import console, qemu

Report = Callable[[str], None]

BOOT_TIMEOUT_S = 60  # on bare metal; multiplied by how slow the accelerator is
COMMAND_TIMEOUT_S = 60
POWEROFF_TIMEOUT_S = 30
_HEARTBEAT_S = 4
_GREETING_S = 10  # QEMU accepts connections long before the guest's SSH server greets
_SILENCE_S = 120  # a boot that says nothing for so long is over, even when emulated
_GOING_DOWN_S = 60  # then look even if the console is silent
_TAIL_LINES = 25
_CONNECTION_LOST = 255  # ssh's own status


class GuestError(BootcpyError):
    """A guest did not boot, or a command in it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What a command in the guest left."""

    command: str
    status: int
    stdout: str
    stderr: str


@dataclass(slots=True, kw_only=True)
class _Console:
    """Reads what the serial console added since it was last asked."""

    path: Path
    read_bytes: int
    rest: str = ""
    last_line: str = ""

    def new_lines(self) -> list[str]:
        with self.path.open("rb") as log:
            log.seek(self.read_bytes)
            added = log.read()
        if not added:
            return []
        self.read_bytes += len(added)
        *whole, self.rest = (self.rest + added.decode(errors="replace")).split("\n")
        lines = console.plain_lines("\n".join(whole))
        # A prompt has no line end, and is what a stuck boot or a finished one shows last.
        prompt = console.plain_lines(self.rest)
        if lines or prompt:
            self.last_line = [*lines, *prompt][-1]
        return [*lines, *prompt]

    def tail(self) -> str:
        lines = console.plain_lines(self.path.read_text(encoding="utf-8", errors="replace"))
        return "\n".join(lines[-_TAIL_LINES:])


def make_key(directory: Path) -> Path:
    """Return a new private key in `directory` (reused if there); the public one is beside it."""
    key = directory / "guest-key"
    if not key.exists():
        directory.mkdir(parents=True, exist_ok=True)
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "guest", "-f", str(key)]
        subprocess.run(make, check=True)
    return key


def credentials(key: Path) -> dict[str, str]:
    """Return the systemd credentials that let the holder of `key` log in as root."""
    public = key.with_suffix(".pub").read_text(encoding="ascii")
    return {"ssh.authorized_keys.root": public}


class Guest:
    """A machine and its power switch. Its methods wait, and say through `report` for what."""

    def __init__(
        self, machine: qemu.Machine, *, accel: qemu.Accelerator, key: Path, report: Report
    ) -> None:
        """Describe a guest that is off, and to which `key` will open the door."""
        self.machine = machine
        self.key = key
        self._accel = accel
        self._report = report
        self._process: subprocess.Popen[bytes] | None = None
        self._console = _Console(path=machine.console, read_bytes=0)
        self._last_milestone = ""
        self._master: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of QEMU; 0 while the guest is off."""
        return 0 if self._process is None else self._process.pid

    def power_on(self, *, detached: bool = False, memory: Path | None = None) -> None:
        """Start the machine: it boots, or goes on from `memory`, a state it was saved in.

        It dies with this process, unless `detached`.

        Raises:
            BootcpyError: QEMU or its firmware is not installed.
        """
        old = self.machine.console
        seen_bytes = old.stat().st_size if old.exists() else 0
        self._console = _Console(path=self.machine.console, read_bytes=seen_bytes)
        self._process = qemu.start(self.machine, self._accel, detached=detached, memory=memory)

    # ------------------------------------------------------------------ waiting

    def wait_for_ssh(self, *, not_boot_id: str = "") -> None:
        """Wait until a command can be run in the guest, in a boot other than `not_boot_id`.

        Raises:
            GuestError: it did not come up in time, or its console shows that it never will.
        """
        started = spoke = heard = time.monotonic()
        deadline = started + BOOT_TIMEOUT_S * self._accel.slowdown
        # What still answers then is the boot that is going down.
        restarting = bool(not_boot_id)
        while True:
            now = time.monotonic()
            before = self._console.read_bytes
            if self._report_boot(now - started):
                spoke = now
                restarting = False
            elif now - spoke > _HEARTBEAT_S:
                spoke = now
                last = self._console.last_line or "the console is silent yet"
                self._report(f"{now - started:4.0f} s  … {last[:100]}")
            if self._console.read_bytes != before:
                heard = now
            if now - heard > _SILENCE_S:
                self._fail(f"the guest said nothing for {_SILENCE_S} s")
            if now > deadline:
                self._fail(f"the guest did not answer within {now - started:.0f} s")
            is_looking = not restarting or now - started > _GOING_DOWN_S
            if is_looking and self._connect() and self.boot_id() not in {"", not_boot_id}:
                self._report(f"{time.monotonic() - started:4.0f} s  SSH answers")
                return
            time.sleep(0.5)

    def wait_until_running(self) -> None:
        """Wait until systemd has started everything it wants to, and found it good.

        Raises:
            GuestError: units failed, which the message lists, or starting does not end.
        """
        started = spoke = time.monotonic()
        deadline = started + BOOT_TIMEOUT_S * self._accel.slowdown
        while True:
            state = self.run("systemctl is-system-running", check=False).stdout.strip()
            now = time.monotonic()
            if state not in {"initializing", "starting"} or now > deadline:
                break
            if now - spoke > _HEARTBEAT_S:
                spoke = now
                jobs = self.run("systemctl list-jobs --no-legend | wc -l").stdout.strip()
                self._report(f"{now - started:4.0f} s  systemd is {state}, {jobs} jobs to go")
            time.sleep(1)
        if state != "running":
            ask = "systemctl --no-legend list-units --failed; systemctl list-jobs --no-legend"
            units = self.run(ask, check=False).stdout
            ask = "journalctl --boot --priority=warning --no-pager --lines=40 --output=cat"
            journal = self.run(ask, check=False).stdout
            raise GuestError(f"the guest's systemd is {state}, not running:\n{units}\n{journal}")
        self._report("systemd: running, no unit failed")

    def _report_boot(self, elapsed_s: float) -> bool:
        """Pass on what the console says since last time; is there anything new worth saying?"""
        said = False
        for line in self._console.new_lines():
            if reason := console.failure(line):
                time.sleep(1)  # let it finish its message
                self._fail(f"the guest does not boot: {reason}")
            reached = console.milestone(line)
            if reached and reached != self._last_milestone:
                self._last_milestone = reached
                self._report(f"{elapsed_s:4.0f} s  {reached}")
                said = True
        if self._process is None or self._process.poll() is not None:
            self._fail("QEMU ended while the guest was booting")
        if reason := console.failure(self._qemu_says()):
            self._fail(f"the guest does not run: {reason}")
        return said

    def _qemu_says(self) -> str:
        return self.machine.log.read_text(encoding="utf-8", errors="replace")

    def _fail(self, message: str) -> None:
        qemu_tail = "\n".join(self._qemu_says().splitlines()[-_TAIL_LINES:])
        raise GuestError(
            f"{message}; its console ends:\n{self._console.tail()}\n{qemu_tail}".rstrip(),
            hint=f"the whole console is in {self.machine.console}",
        )

    # ------------------------------------------------------------------ commands

    def ssh_arguments(self) -> list[str]:
        """Return the ssh command that logs in, without a remote command."""
        options = {
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes",
            "LogLevel": "ERROR",
        }
        argv = ["ssh", "-i", str(self.key), "-p", str(self.machine.ssh_port)]
        for name, value in options.items():
            argv += ["-o", f"{name}={value}"]
        return [*argv, "root@127.0.0.1"]

    @property
    def _control_path(self) -> Path:
        # A socket's path may have 107 bytes; test directories are longer than that.
        return Path(f"/tmp/bootcpy-ssh-{os.getpid()}-{self.machine.ssh_port}")  # noqa: S108

    def remote(self, command: str, *, terminal: bool = False) -> list[str]:
        """Return the arguments that run a shell command over the connection that is open.

        With `terminal`, it speaks to people there and not to programs.
        """
        return [*self._shared_ssh(*(("-tt",) if terminal else ())), command]

    def _shared_ssh(self, *options: str) -> list[str]:
        first, *rest = self.ssh_arguments()
        shared = [
            "-o",
            "BatchMode=yes",
            "-o",
            f"ConnectTimeout={_GREETING_S}",
            "-S",
            str(self._control_path),
        ]
        return [first, *shared, *options, *rest]

    def _connect(self) -> bool:
        """Have one connection that all commands share: a handshake costs an emulated guest much.

        Does not wait: says whether it is there yet, and makes sure that it is on its way.
        """
        if self._master is not None and self._master.poll() is not None:
            self._disconnect()  # refused, or the guest went away
        if self._master is None:
            self._master = subprocess.Popen(
                # Asks now and then, so that a guest that lost its power is noticed.
                self._shared_ssh("-M", "-N", "-o", "ServerAliveInterval=15"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=qemu.die_with_parent,  # noqa: PLW1509 - no threads here
            )
        return self._control_path.exists()

    def _disconnect(self) -> None:
        if self._master is not None:
            self._master.kill()
            self._master.wait()
            self._master = None
        self._control_path.unlink(missing_ok=True)

    def run(
        self,
        command: str,
        *,
        check: bool = True,
        timeout_s: float = COMMAND_TIMEOUT_S,
        stdin: str = "",
    ) -> Completed:
        """Run a shell command as root in the guest. `timeout_s` is for a guest at native speed.

        Raises:
            GuestError: its status is not 0 (unless `check` is off), or it did not end in time.
        """
        limit_s = timeout_s * self._accel.slowdown
        try:
            ended = subprocess.run(
                self.remote(command),
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired as e:
            raise GuestError(f"in the guest, `{command}` did not end within {limit_s} s") from e
        if check and ended.returncode != 0:
            said = f"{ended.stdout}{ended.stderr}".strip()
            raise GuestError(f"in the guest, `{command}` ended {ended.returncode}:\n{said}")
        return Completed(
            command=command, status=ended.returncode, stdout=ended.stdout, stderr=ended.stderr
        )

    def boot_id(self) -> str:
        """Return what tells this boot of the guest from every other, or "" if it is going down."""
        with suppress(GuestError):
            ask = "cat /proc/sys/kernel/random/boot_id"
            return self.run(ask, check=False, timeout_s=3).stdout.strip()
        return ""

    # ------------------------------------------------------------------ power

    def reboot(
        self, command: str = "systemctl reboot", *, timeout_s: float = COMMAND_TIMEOUT_S
    ) -> None:
        """Run `command`, which restarts the guest, and wait until that answers again.

        Raises:
            GuestError: the command failed, or the guest does not come back.
        """
        before = self.boot_id()
        self._console.new_lines()  # what it said until now is not about the next boot
        self._report(f"rebooting the guest: {command}")
        ended = self.run(command, check=False, timeout_s=timeout_s)
        if ended.status not in {0, _CONNECTION_LOST}:
            raise GuestError(f"in the guest, `{command}` ended {ended.status}:\n{ended.stderr}")
        self.wait_for_reboot(before)

    def wait_for_reboot(self, before: str) -> None:
        """Wait until the guest answers in a boot other than `before`, which it was told to leave.

        Raises:
            GuestError: it does not come back.
        """
        self._disconnect()
        self.wait_for_ssh(not_boot_id=before)

    def poweroff(self) -> None:
        """Shut the guest down in order and wait until it is off.

        Raises:
            GuestError: it did not end in time.
        """
        self.run("systemctl poweroff", check=False)
        self._disconnect()
        if self._process is None:
            return
        try:
            self._process.wait(POWEROFF_TIMEOUT_S * self._accel.slowdown)
        except subprocess.TimeoutExpired:
            self._fail("the guest did not power off")

    def leave_running(self) -> None:
        """Close our connection and let a guest that was started detached live on."""
        self._disconnect()

    def cut_power(self) -> None:
        """End the guest at once, as if its plug were pulled. Harmless when it is already off."""
        # The plug first: a connection that ends would be noticed in the guest.
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._disconnect()


@contextmanager
def powered(guest: Guest, *, memory: Path | None = None) -> Iterator[Guest]:
    """Switch `guest` on, yield it when it answers, and cut its power at the end.

    It boots, or goes on from `memory`, a state it was saved in.

    Raises:
        GuestError: it does not come up.
    """
    try:
        guest.power_on(memory=memory)
        guest.wait_for_ssh()
        yield guest
    finally:
        guest.cut_power()


@contextmanager
def booted(
    disks: Sequence[qemu.Disk],
    firmware: qemu.Firmware,
    *,
    directory: Path,
    accel: qemu.Accelerator,
    report: Report,
) -> Iterator[Guest]:
    """Boot the first of `disks`, yield a guest that answers, and cut its power at the end.

    `directory` keeps the console log.

    Raises:
        GuestError: it does not boot.
    """
    key = make_key(directory)
    machine = qemu.Machine(
        directory=directory,
        disks=disks,
        firmware=firmware,
        ssh_port=qemu.free_port(),
        credentials=credentials(key),
    )
    with powered(Guest(machine, accel=accel, key=key, report=report)) as guest:
        yield guest
