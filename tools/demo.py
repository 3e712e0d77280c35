"""The main job, end to end: build an image, install it onto a disk file, boot that, log in.

Run as `./dev demo`. What did not change since the last run is reused. With `--keep` the guest
goes on running, with its SSH port on this machine's loopback.
"""

import argparse
import json
import os
import shlex
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from bootcpy.errors import BootcpyError, ExitStatus, PrivilegeError
from tools import guest, image, qemu, steps
from tools.installed_disk import installed_disk

CACHE = Path(__file__).resolve().parent.parent / ".cache"
DIRECTORY = CACHE / "demo"
KEPT = DIRECTORY / "kept.json"
FILESYSTEM = "ext4"


def main() -> int:
    """Run the demo and return its exit status."""
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the guest running")
    parser.add_argument(
        "--firmware",
        type=qemu.Firmware,
        choices=list(qemu.Firmware),
        default=qemu.Firmware.SECURE_BOOT,
        help="what the guest starts with (default: %(default)s)",
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    try:
        _run(options.firmware, keep=options.keep)
    except BootcpyError as e:
        return steps.report(e)
    except KeyboardInterrupt:
        print("demo: interrupted; nothing is left running", file=sys.stderr)
        return ExitStatus.INTERRUPTED
    return ExitStatus.OK


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(firmware: qemu.Firmware, *, keep: bool) -> None:
    if os.geteuid() != 0:
        raise PrivilegeError("the demo attaches disks, so it needs root", hint="sudo ./dev demo")
    _require_no_kept_guest()
    with steps.step("Finding out how guests can run here"):
        accel = qemu.accelerator(CACHE)
        steps.say(f"{accel}: {'as fast as this machine' if accel == 'kvm' else 'emulated, slow'}")
    with steps.step("Building the image from images/Containerfile"):
        built = image.build()
    with steps.step("Installing it onto a disk file, by `podman run … bootc install to-disk`"):
        base = installed_disk(built, FILESYSTEM, directory=CACHE / "disks")
    with ExitStack() as stack:
        machine, door = _machine(base, firmware)
        running = guest.Guest(machine, accel=accel, key=door, report=steps.say)
        stack.callback(running.cut_power)
        with steps.step(f"Booting the disk in QEMU ({firmware}, {accel})"):
            running.power_on(detached=keep)
            running.wait_for_ssh()
            running.wait_until_running()
        with steps.step("Logged in over SSH; in the guest, `bootc status` says"):
            steps.run(running.remote("bootc status", terminal=True))
        if not keep:
            with steps.step("Shutting the guest down"):
                running.poweroff()
            _say_what_next()
            return
        KEPT.write_text(json.dumps({"pid": running.pid}), encoding="utf-8")
        running.leave_running()
        stack.pop_all()
    print(f"The guest is running. Log in: {shlex.join(running.ssh_arguments())}")
    print(f"Stop it: `poweroff` inside, or: kill {running.pid}")


def _machine(base: Path, firmware: qemu.Firmware) -> tuple[qemu.Machine, Path]:
    """Describe the demo's guest, on a fresh disk that leaves `base` as it is, and its key."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    key = guest.make_key(DIRECTORY)
    machine = qemu.Machine(
        directory=DIRECTORY,
        disks=[qemu.overlay(base, DIRECTORY / "guest.qcow2")],
        firmware=firmware,
        ssh_port=qemu.free_port(),
        credentials=guest.credentials(key),
    )
    machine.console.unlink(missing_ok=True)
    machine.variables.unlink(missing_ok=True)
    return machine, key


def _require_no_kept_guest() -> None:
    """Refuse to take the disk away from under the guest of an earlier `--keep`.

    Raises:
        BootcpyError: it still runs.
    """
    if not KEPT.exists():
        return
    pid = json.loads(KEPT.read_text(encoding="utf-8"))["pid"]
    command = Path(f"/proc/{pid}/cmdline")
    if command.exists() and str(DIRECTORY).encode() in command.read_bytes():
        hint = f"stop it first: kill {pid}"
        raise BootcpyError(f"the guest that `--keep` left still runs, as process {pid}", hint=hint)
    KEPT.unlink()


def _say_what_next() -> None:
    print("Try next: sudo ./dev demo --keep, and log in to the guest as root over SSH.")
    print("Then add a package to images/Containerfile and run it again: that is your own image.")


if __name__ == "__main__":
    sys.exit(main())
