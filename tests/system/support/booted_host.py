"""A host that seems booted from ostree: a physical root in a directory, and a way in.

Commands run in a mount namespace of their own in which the root is /sysroot, /boot and
/run are the host's, and /run/ostree-booted names the deployment that "runs". The
/usr around them stays the container's. /run outlives a command, as on a real host.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import GLib, OSTree  # noqa: E402 - the version comes first

_ENTER = """\
set -e
mount --bind "$ROOT" /sysroot
mount -o remount,bind,ro /sysroot
mount --bind "$ROOT/boot" /boot
mount --bind "$RUN" /run
mount --bind "$RUN/boot_id" /proc/sys/kernel/random/boot_id
exec "$@"
"""
# The /usr of a deployment is read-only, the container's is not.
_FINALIZE = """\
mount --bind /usr /usr && mount -o remount,bind,ro /usr && exec ostree admin finalize-staged
"""
# A process namespace: libostree looks at what process 1 has mounted, and it must be ours.
OWN_PROCESSES = ("unshare", "--pid", "--fork", "--mount-proc")
_KERNEL = "usr/lib/modules/6.12.0-test"
_TREE = {
    f"{_KERNEL}/vmlinuz": "kernel",
    f"{_KERNEL}/initramfs.img": "initramfs",
    "usr/lib/os-release": "ID=test\nPRETTY_NAME=Test\n",
    "usr/etc/shipped": "1\n",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BootedHost:
    """The directories of the host; `root` is its physical root."""

    root: Path
    run_directory: Path
    programs: Path

    @classmethod
    def make(cls, directory: Path) -> "BootedHost":
        """Lay out an empty physical root, configured as an installation is."""
        host = cls(
            root=directory / "root", run_directory=directory / "run", programs=directory / "bin"
        )
        for each in (host.root, host.run_directory, host.programs):
            each.mkdir()
        tool("ostree", "admin", "init-fs", "--modern", str(host.root))
        tool("ostree", "admin", "stateroot-init", "default", f"--sysroot={host.root}")
        for key in ("bootloader=none", "bootprefix=true", "readonly=true"):
            host.ostree("config", "set", *f"sysroot.{key}".split("="))
        Path("/sysroot").mkdir(exist_ok=True)
        if not Path("/ostree").is_symlink():
            Path("/ostree").symlink_to("sysroot/ostree")
        return host

    def ostree(self, *words: str) -> str:
        """Run `ostree` on the repository, from outside."""
        return tool("ostree", words[0], f"--repo={self.root}/ostree/repo", *words[1:])

    def commit(
        self, files: Mapping[str, str] | None = None, metadata: Mapping[str, str] | None = None
    ) -> str:
        """Commit a bootable tree with `files` added, and return the checksum."""
        tree = self.root.parent / f"tree-{len(list(self.root.parent.iterdir()))}"
        for name in ("boot", "sysroot", "ostree", "var", "usr/bin"):
            (tree / name).mkdir(parents=True)
        for name, text in (_TREE | dict(files or {})).items():
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        strings = [f"--add-metadata-string={key}={text}" for key, text in (metadata or {}).items()]
        return self.ostree("commit", "--orphan", f"--tree=dir={tree}", *strings).strip()

    def deploy(self, commit: str, origin: str, *, stateroot: str = "default") -> None:
        """Make `commit` the first of the boot order."""
        file = self.root.parent / "origin"
        file.write_text(origin, encoding="utf-8")
        where = [f"--sysroot={self.root}", f"--os={stateroot}", f"--origin-file={file}"]
        tool("ostree", "admin", "deploy", *where, "--karg=rw", "--retain", commit)

    def boot(self) -> None:
        """Let the first of the boot order be the one that runs; /run starts empty."""
        tool("rm", "-rf", str(self.run_directory))
        self.run_directory.mkdir()
        (self.run_directory / "boot_id").write_text(f"{uuid4()}\n", encoding="ascii")
        self.soft_boot()

    def soft_boot(self) -> None:
        """Let the first of the boot order run, under the same kernel and with the same /run."""
        sysroot = self.sysroot()
        first = sysroot.get_deployments()[0]
        status = (self.root / sysroot.get_deployment_dirpath(first)).stat()
        inode = GLib.Variant("(tt)", (status.st_dev, status.st_ino))
        facts = GLib.Variant("a{sv}", {"backing-root-device-inode": inode})
        (self.run_directory / "ostree-booted").write_bytes(facts.get_data_as_bytes().get_data())

    def reboot(self) -> None:
        """Shut down, which finalizes what is staged, and boot what is first then."""
        assert self.finalize() == 0
        self.boot()

    def finalize(self) -> int:
        """Do what ostree-finalize-staged.service does at shutdown, and return its status."""
        return subprocess.run(
            self.command(*OWN_PROCESSES, "sh", "-c", _FINALIZE),
            env=self.environment(),
            check=False,
        ).returncode

    def kargs(self) -> list[str]:
        """Return the kernel arguments of the first of the boot order; `ostree=` is the last."""
        config = self.sysroot().get_deployments()[0].get_bootconfig()
        assert config is not None
        return (config.get("options") or "").split()

    def fake_program(self, name: str, *, then: str = "") -> Path:
        """Put a program on the host's PATH that records its arguments; return the record."""
        calls = self.programs / f"{name}.calls"
        calls.touch()
        program = self.programs / name
        program.write_text(f'#!/bin/sh\necho "$*" >>{calls}\n{then}\n', encoding="utf-8")
        program.chmod(0o755)
        return calls

    def sysroot(self) -> OSTree.Sysroot:
        """Open the deployments from outside, where none is booted."""
        from gi.repository import Gio

        sysroot = OSTree.Sysroot.new(Gio.File.new_for_path(str(self.root)))
        sysroot.load(None)
        return sysroot

    def command(self, *words: str) -> list[str]:
        """Return the argv that runs `words` on the host."""
        return ["unshare", "--mount", "--propagation=private", "sh", "-c", _ENTER, "sh", *words]

    def admin(self, *words: str) -> None:
        """Run `ostree admin` on the host."""
        subprocess.run(
            self.command(*OWN_PROCESSES, "ostree", "admin", *words),
            env=self.environment(),
            check=True,
        )

    def environment(self) -> dict[str, str]:
        """Return the environment that `command` needs."""
        kept = {k: v for k, v in os.environ.items() if k != "container"}
        return {
            **kept,
            "ROOT": str(self.root),
            "RUN": str(self.run_directory),
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def release(self) -> None:
        """Let the root be deleted: the roots of deployments are immutable."""
        deployments = self.root.glob("ostree/deploy/*/deploy/*.[0-9]*")
        roots = [str(each) for each in deployments if each.is_dir()]
        subprocess.run(["chattr", "-f", "-i", *roots], check=False)  # not every file system can

    def bootc(
        self, *words: str, environment: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run bootc on the host."""
        return self.run(sys.executable, "-m", "bootcpy", *words, environment=environment)

    def run(
        self, *words: str, environment: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a program on the host."""
        return subprocess.run(
            self.command(*words),
            env=self.environment() | dict(environment or {}),
            text=True,
            capture_output=True,
            check=False,
            timeout=120,
        )

    def status(self) -> dict[str, Any]:
        """Return the host document."""
        finished = self.bootc("status", "--json")
        assert finished.returncode == 0, finished.stderr
        document: dict[str, Any] = json.loads(finished.stdout)
        return document


def tool(*argv: str) -> str:
    """Run a program that must succeed, and return its stdout."""
    return subprocess.run(argv, check=True, text=True, capture_output=True).stdout
