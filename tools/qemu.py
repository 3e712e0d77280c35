"""QEMU as the tests and the demo need it: firmware, accelerator, disks, and a command line.

`Machine` says what to boot, `command_line()` turns it into arguments, `start()` runs them. How to
talk to what then boots is in `tools.guest`. QEMU dies with this process unless told otherwise.
"""

import base64
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bootcpy.errors import BootcpyError

QEMU = "qemu-system-x86_64"
# Before 10, emulation corrupts flags around cmpxchg16b and Linux 6.12 panics at random.
MINIMUM_TCG_VERSION = 10
_FIRMWARE_DIRECTORY = Path("/usr/share/OVMF")
_PROBE_TIMEOUT_S = 20
DEVICES_VERSION = 2  # to be raised with every change of them: see tools.saved_host
SLOT = "spare"  # the PCI bridge that a disk can be plugged in behind
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)  # before any fork: a child may only call it


class Firmware(StrEnum):
    """What the machine runs first."""

    UEFI = "uefi"
    SECURE_BOOT = "secure-boot"
    BIOS = "bios"


class Accelerator(StrEnum):
    """Who executes the guest's instructions."""

    KVM = "kvm"
    TCG = "tcg"

    @property
    def slowdown(self) -> int:
        """How many times longer than on bare metal to wait for a guest."""
        return 1 if self is Accelerator.KVM else 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A disk file of a guest.

    With `write_log`, every write and flush is also recorded there, in the format of
    dm-log-writes, so that `tools.power_cut` can rebuild the disk as of any moment.
    With `careless`, flushes are not carried through to the host: faster, and only for
    guests whose power is never cut.
    """

    path: Path
    format: str = "raw"
    write_log: Path | None = None
    careless: bool = False

    def block_device(self, node: str) -> dict[str, object]:
        """Return QEMU's -blockdev description of this disk, named `node`; the files exist."""
        image: dict[str, object] = {
            "driver": self.format,
            "discard": "unmap",
            "cache": {"no-flush": self.careless},
            "file": {"driver": "file", "filename": str(self.path), "discard": "unmap"},
        }
        if self.write_log is None:
            return {"node-name": node, **image}
        return {
            "node-name": node,
            "driver": "blklogwrites",
            "file": image,
            "log": {"driver": "file", "filename": str(self.write_log)},
            "log-sector-size": 512,
            # The guest may be switched on again: then its story goes on.
            "log-append": self.write_log.stat().st_size > 0,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine to boot. `directory` takes its console log, firmware variables and QEMU's log."""

    directory: Path
    disks: Sequence[Disk]
    firmware: Firmware
    ssh_port: int
    memory_mib: int = 2048
    offline: bool = False  # the guest reaches nobody; it can still be reached
    credentials: Mapping[str, str] = field(default_factory=dict)  # systemd's, by SMBIOS
    # A socket to be made there, for commands to QEMU itself; and a slot for a disk, to be
    # plugged in while the machine runs.
    monitor: Path | None = None

    @property
    def console(self) -> Path:
        """Where the serial console is written."""
        return self.directory / "console.log"

    @property
    def log(self) -> Path:
        """Where QEMU's own messages are written."""
        return self.directory / "qemu.log"

    @property
    def variables(self) -> Path:
        """This machine's own copy of the UEFI variables."""
        return self.directory / "firmware-variables.fd"


def blank(path: Path, size_bytes: int) -> Disk:
    """Return a new, empty disk at `path` that takes room only as it is written."""
    path.unlink(missing_ok=True)
    with path.open("wb") as disk:
        disk.truncate(size_bytes)
    return Disk(path=path)


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def overlay(base: Path, path: Path, *, base_format: str = "raw") -> Disk:
    """Return a new disk at `path` that starts as the disk `base` and leaves that alone."""
    path.unlink(missing_ok=True)
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", base_format]
    create += ["-b", str(base.resolve())]
    subprocess.run([*create, str(path)], check=True)
    return Disk(path=path, format="qcow2")


def version() -> tuple[int, str]:
    """Return QEMU's major version and its whole version line.

    Raises:
        BootcpyError: QEMU is not installed.
    """
    try:
        said = subprocess.run([QEMU, "--version"], check=True, capture_output=True, text=True)
    except FileNotFoundError as e:
        hint = "apt-get install qemu-system-x86 ovmf"
        raise BootcpyError(f"{QEMU} is not installed", hint=hint) from e
    line = said.stdout.splitlines()[0]
    found = re.search(r"version (\d+)", line)
    return (int(found[1]) if found else 0), line


def accelerator(cache_directory: Path) -> Accelerator:
    """Return how guests can run here; the answer is kept until the host or QEMU changes.

    /dev/kvm proves nothing (nested or restricted hosts have it and fail in the guest's
    first instructions), so a guest without a disk has to get through its firmware.

    Raises:
        BootcpyError: QEMU is missing, or too old to emulate without KVM.
    """
    major, line = version()
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    cache = cache_directory / "accelerator.json"
    known = json.loads(cache.read_text(encoding="utf-8")) if cache.exists() else {}
    if known.get("host") == boot_id and known.get("qemu") == line:
        return Accelerator(known["accelerator"])
    answer = Accelerator.KVM if _kvm_works() else Accelerator.TCG
    if answer is Accelerator.TCG and major < MINIMUM_TCG_VERSION:
        raise BootcpyError(
            f"QEMU {major} cannot emulate the guest reliably and KVM does not work here",
            hint="on Debian 12: apt-get install -t bookworm-backports qemu-system-x86 ovmf",
        )
    cache_directory.mkdir(parents=True, exist_ok=True)
    facts = {"host": boot_id, "qemu": line, "accelerator": answer}
    cache.write_text(json.dumps(facts), encoding="utf-8")
    return answer


def _kvm_works() -> bool:
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    code, _ = _firmware_files(Firmware.UEFI)
    argv = [
        *(QEMU, "-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", "256"),
        *("-nodefaults", "-display", "none", "-serial", "stdio"),
        *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}"),
    ]
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - no threads here
    ) as probe:
        try:
            return _firmware_speaks(probe)
        finally:
            probe.kill()


def _firmware_speaks(probe: "subprocess.Popen[bytes]") -> bool:
    if probe.stdout is None:
        return False
    os.set_blocking(probe.stdout.fileno(), False)
    said = b""
    deadline = time.monotonic() + _PROBE_TIMEOUT_S
    while time.monotonic() < deadline and probe.poll() is None:
        said += probe.stdout.read() or b""
        if b"KVM internal error" in said:
            return False
        if b"BdsDxe" in said:
            return True
        time.sleep(0.1)
    return False


def _firmware_files(firmware: Firmware) -> tuple[Path, Path]:
    """Return OVMF's code and its template of variables, as Debian 12 and 13 name them."""
    secure = firmware is Firmware.SECURE_BOOT
    codes = ("OVMF_CODE_4M.ms.fd", "OVMF_CODE_4M.secboot.fd") if secure else ("OVMF_CODE_4M.fd",)
    variables = _FIRMWARE_DIRECTORY / ("OVMF_VARS_4M.ms.fd" if secure else "OVMF_VARS_4M.fd")
    for code in codes:
        if (_FIRMWARE_DIRECTORY / code).exists() and variables.exists():
            return _FIRMWARE_DIRECTORY / code, variables
    raise BootcpyError(
        f"there is no {codes[0]} in {_FIRMWARE_DIRECTORY}", hint="apt-get install ovmf"
    )


def command_line(machine: Machine, accel: Accelerator) -> list[str]:
    """Return the arguments that start `machine`, whose firmware variables already exist."""
    argv = [QEMU, "-name", machine.directory.name, "-nodefaults", "-no-user-config"]
    argv += ["-display", "none", "-m", str(machine.memory_mib), "-rtc", "base=utc"]
    if accel is Accelerator.KVM:
        argv += ["-accel", "kvm", "-cpu", "host", "-smp", "2"]
    else:
        # Two emulated processors wait for each other: a boot takes as long again where another
        # guest runs beside it.
        argv += ["-accel", "tcg", "-cpu", "max", "-smp", "1"]
    argv += _firmware_arguments(machine)
    for number, disk in enumerate(machine.disks):
        argv += ["-blockdev", json.dumps(disk.block_device(f"disk{number}"))]
        device = f"virtio-blk-pci,drive=disk{number},serial=disk{number},bootindex={number}"
        argv += ["-device", device]
    network = f"user,id=net,hostfwd=tcp:127.0.0.1:{machine.ssh_port}-:22"
    argv += ["-netdev", network + (",restrict=on" if machine.offline else "")]
    # Without its boot ROM, so that the firmware does not try to boot from the network.
    argv += ["-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci"]
    argv += ["-chardev", f"file,id=console,append=on,path={machine.console}"]
    argv += ["-serial", "chardev:console"]
    for name, value in machine.credentials.items():
        encoded = base64.b64encode(value.encode()).decode()
        argv += ["-smbios", f"type=11,value=io.systemd.credential.binary:{name}={encoded}"]
    if machine.monitor is not None:
        argv += ["-qmp", f"unix:{machine.monitor},server=on,wait=off"]
        argv += ["-device", f"pcie-root-port,id={SLOT},chassis=1,slot=1"]
    return argv


def _firmware_arguments(machine: Machine) -> list[str]:
    if machine.firmware is Firmware.BIOS:
        return ["-machine", "q35,graphics=off"]  # SeaBIOS and GRUB then use the serial console
    code, _ = _firmware_files(machine.firmware)
    flash = [
        *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}"),
        *("-drive", f"if=pflash,format=raw,unit=1,file={machine.variables}"),
    ]
    if machine.firmware is Firmware.UEFI:
        return ["-machine", "q35", *flash]
    secure = ["-global", "driver=cfi.pflash01,property=secure,value=on"]
    return ["-machine", "q35,smm=on", *secure, *flash]


def start(
    machine: Machine,
    accel: Accelerator,
    *,
    detached: bool = False,
    memory: Path | None = None,
) -> "subprocess.Popen[bytes]":
    """Start `machine` and return QEMU's process, which the caller ends.

    It boots, or goes on from `memory`, a state that the same machine was saved in. QEMU dies
    with this process, unless `detached`: then it lives on, also through Ctrl-C.

    Raises:
        BootcpyError: QEMU or its firmware is not installed.
    """
    machine.directory.mkdir(parents=True, exist_ok=True)
    if machine.firmware is not Firmware.BIOS and not machine.variables.exists():
        shutil.copyfile(_firmware_files(machine.firmware)[1], machine.variables)
    for disk in machine.disks:
        if disk.write_log is not None:
            disk.write_log.touch()
    machine.console.touch()
    argv = command_line(machine, accel)
    if memory is not None:
        argv += ["-incoming", f"file:{memory}"]
    with machine.log.open("ab") as log:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=detached,
            preexec_fn=None if detached else die_with_parent,  # noqa: PLW1509 - no threads here
        )


def die_with_parent() -> None:
    """Have the kernel kill this (child) process when the one that started it ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
