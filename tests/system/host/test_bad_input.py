"""What people and scripts get wrong, on hosts that seem booted: a line, a hint, and no change."""

import os
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.support.booted_host import BootedHost
from tests.system.support.marks import IN_CONTAINER

pytestmark = IN_CONTAINER

_ORIGIN = "[origin]\ncontainer-image-reference=ostree-unverified-registry:quay.io/example/os:1\n"
_SET_OPTIONS = ["loader-entries", "set-options-for-source", "--source=x"]
_CHANGING = [
    ["upgrade"],
    ["upgrade", "--check"],
    ["switch", "quay.io/example/os:2"],
    ["rollback"],
    ["edit"],
    _SET_OPTIONS,
    ["internals", "cleanup"],
    ["internals", "fsck"],
]
_ON_A_HOST = [*_CHANGING, ["usr-overlay"], ["image", "copy-to-storage"]]
_INSTALL = "install an image with `bootc install`, and boot it"
# Message and hint of those commands that have their own.
_HOSTS_ONLY = {
    "usr-overlay": ("usroverlay only applies on booted hosts", _INSTALL),
    "image": (
        "Copying an image out of the repository requires a booted bootc system",
        "run it on a host that bootc installed",
    ),
}
_AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]

_ONE = "leave one of them out"
_TAG = "give only the part after the colon, such as `--tag=stable`"
_EDITOR = "set EDITOR, or use --filename"
_EMPTY = "correct or empty the origin file, then use `bootc switch IMAGE`"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[BootedHost]:
    """A host that follows an image in a registry it never asks."""
    host = BootedHost.make(tmp_path)
    host.fake_program("systemctl")
    host.deploy(host.commit(), _ORIGIN)
    host.boot()
    tmp_path.chmod(0o755)
    yield host
    host.release()


def _run(host: BootedHost, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        host.command(*words),
        env=host.environment(),
        stdin=subprocess.DEVNULL,
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
    )


def _bootc(*words: str) -> list[str]:
    return [sys.executable, "-m", "bootcpy", *words]


def _refusal(finished: "subprocess.CompletedProcess[str]", *, hint: str, status: int = 1) -> str:
    """Check that a refusal has one line and this hint, and return its message."""
    assert (finished.returncode, finished.stdout) == (status, "")
    assert len(finished.stderr.splitlines()) == 2, finished.stderr
    error, advice = finished.stderr.splitlines()
    assert error.startswith("error: ")
    assert advice == f"hint: {hint}"
    return error.removeprefix("error: ")


@pytest.mark.parametrize("words", _ON_A_HOST, ids=" ".join)
def test_only_root_changes_a_host(host: BootedHost, words: list[str]) -> None:
    message = _refusal(_run(host, *_AS_NOBODY, *_bootc(*words)), hint="run it with sudo")
    assert message == "This command must be executed as the root user"


@pytest.mark.parametrize("words", _ON_A_HOST, ids=" ".join)
def test_root_needs_all_its_rights(host: BootedHost, words: list[str]) -> None:
    without = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
    hint = "run it in a session or unit that has CAP_SYS_ADMIN"
    message = _refusal(_run(host, *without, *_bootc(*words)), hint=hint)
    assert message == "This command requires full root privileges (CAP_SYS_ADMIN)"


@pytest.mark.parametrize("words", _ON_A_HOST, ids=" ".join)
def test_a_container_is_no_host(host: BootedHost, words: list[str]) -> None:
    message, hint = _HOSTS_ONLY.get(
        words[0],
        ("Detected container; this command requires a booted host system.", "run it on the host"),
    )
    finished = _run(host, "env", "container=podman", *_bootc(*words))
    assert _refusal(finished, hint=hint) == message


@pytest.mark.parametrize("words", _ON_A_HOST, ids=" ".join)
def test_a_host_that_ostree_did_not_boot(host: BootedHost, words: list[str]) -> None:
    (host.run_directory / "ostree-booted").unlink()
    message, hint = _HOSTS_ONLY.get(words[0], ("System not booted via bootc", _INSTALL))
    assert _refusal(_run(host, *_bootc(*words)), hint=hint) == message


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (
            ["upgrade", "--check", "--apply"],
            "the argument '--check' cannot be used with '--apply'",
            _ONE,
        ),
        (
            ["upgrade", "--progress-fd=2"],
            "Cannot use fd 2 for progress JSON",
            "0, 1 and 2 are the standard streams; use 3, as in `3>progress.jsonl`",
        ),
        (["upgrade", "--tag="], "--tag '' is not a tag", _TAG),
        (["upgrade", "--tag=a b"], "--tag 'a b' is not a tag", _TAG),
        (
            ["upgrade", "--soft-reboot=maybe"],
            "Invalid value for '--soft-reboot': 'maybe' is not",
            "see `bootcpy upgrade --help`",
        ),
        (
            ["switch", "x", "--enforce-container-sigpolicy", "--no-signature-verification"],
            "the argument '--enforce-container-sigpolicy' cannot be used",
            _ONE,
        ),
        (["switch"], "Missing argument", "see `bootcpy switch --help`"),
        (
            ["switch", "docker://quay.io/x/y"],
            "'docker://quay.io/x/y' names a transport",
            "remove it from the name, and use --transport",
        ),
        (["rollback", "now"], "Got unexpected extra argument", "see `bootcpy rollback --help`"),
        (
            ["status", "--format=xml"],
            "Invalid value for '--format': 'xml' is not one of",
            "see `bootcpy status --help`",
        ),
        (
            ["status", "--format-version=2"],
            "Unsupported format version: 2",
            "the only version is 1",
        ),
    ],
)
def test_a_command_line_that_makes_no_sense(
    host: BootedHost, words: Sequence[str], message: str, hint: str
) -> None:
    status = 1 if "--format-version=2" in words else 2
    assert message in _refusal(_run(host, *_bootc(*words)), hint=hint, status=status)


def test_an_origin_that_cannot_be_written(host: BootedHost) -> None:
    finished = _run(host, *_bootc("switch", "--mutate-in-place", "quay.io/example/os:2"))
    message = _refusal(finished, hint="run it as root, where /sysroot is writable")
    assert message.startswith("cannot write /sysroot/ostree/deploy/default/deploy/")
    assert message.endswith(".origin: Read-only file system")


@pytest.mark.parametrize(
    ("editor", "message", "hint"),
    [
        ('"vi', "EDITOR cannot be read: '\"vi': No closing quotation", _EDITOR),
        ("/etc/hostname", "/etc/hostname cannot be run: Permission denied", "install it again"),
        ("false", "the editor false failed (exit status 1); nothing was changed", _EDITOR),
    ],
)
def test_an_editor_that_does_not_work(
    host: BootedHost, editor: str, message: str, hint: str
) -> None:
    finished = host.bootc("edit", environment={"EDITOR": editor})
    assert _refusal(finished, hint=hint) == message


def test_an_edited_document_is_malformed(host: BootedHost, tmp_path: Path) -> None:
    file = tmp_path / "edited.yaml"
    file.write_text("apiVersion: x\nkind: y\nspec:\n  bootorder: rollback\n", encoding="utf-8")
    message = _refusal(
        host.bootc("edit", "--filename", str(file)), hint="known are image, bootOrder"
    )
    assert message == f"{file}:4: spec.bootorder: this key is unknown"
    message = _refusal(host.bootc("edit", "--filename", "/nonexistent"), hint="check the name")
    assert message == "cannot read /nonexistent: No such file or directory"


@pytest.mark.parametrize("words", [["status"], ["upgrade"], ["rollback"]], ids=" ".join)
@pytest.mark.parametrize(
    ("content", "hint"),
    [
        pytest.param(b"nonsense\n", _EMPTY, id="no key file"),
        pytest.param(b"[origin]\nx=\xff\n", _EMPTY, id="not UTF-8"),
        pytest.param(
            b"[origin]\ncontainer-image-reference=x:y\n",
            "correct the file, or remove the deployment with ostree admin undeploy",
            id="no reference",
        ),
        pytest.param(None, _EMPTY, id="directory"),
    ],
)
def test_a_corrupt_origin_file_is_named(
    host: BootedHost, content: bytes | None, hint: str, words: Sequence[str]
) -> None:
    origin = next((host.root / "ostree/deploy/default/deploy").glob("*.origin"))
    if content is None:
        origin.unlink()
        origin.mkdir()
    else:
        origin.write_bytes(content)
    assert origin.name in _refusal(host.bootc(*words), hint=hint)


@contextmanager
def _read_only_disk(host: BootedHost) -> Generator[None]:
    """Boot the host from a disk that cannot be written to."""
    disk = host.root.with_name("disk")
    disk.touch()
    os.truncate(disk, 64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-d", host.root, disk], check=True)
    subprocess.run(["mount", "-o", "loop,ro", disk, host.root], check=True)
    try:
        host.boot()
        yield
    finally:
        subprocess.run(["umount", host.root], check=True)


@pytest.mark.parametrize("words", [["upgrade"], ["rollback"], ["edit"]], ids=" ".join)
def test_a_sysroot_that_cannot_be_written(host: BootedHost, words: Sequence[str]) -> None:
    with _read_only_disk(host):
        message = _refusal(host.bootc(*words), hint="install the system to a disk first")
        assert host.status()["status"]["readOnly"] is True
    assert message == (
        "Cannot perform this operation: /sysroot is on a read-only block device (e.g. a live ISO)"
    )
