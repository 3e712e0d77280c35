import socket
from pathlib import Path
from uuid import UUID

from bootcpy.errors import BootcpyError
from bootcpy.system.host import systemd
from tests.refusals import refused
from tests.unit.conftest import FakeTool


def _message_ids() -> dict[str, UUID]:
    return {
        name: value
        for name, value in vars(systemd).items()
        if name.startswith("MESSAGE_") and isinstance(value, UUID)
    }


def test_every_kind_of_entry_has_an_id_of_its_own() -> None:
    ids = _message_ids()
    assert {"MESSAGE_STAGE", "MESSAGE_ROLLBACK", "MESSAGE_UPDATE_LOST"} <= set(ids)
    assert len(set(ids.values())) == len(ids)


def test_a_reboot_that_systemd_refuses_is_an_error(fake_tool: FakeTool) -> None:
    calls = fake_tool("systemd-run", status=1)
    with refused(BootcpyError, r"\(exit status 1 of systemd-run\)$", hint="run `systemctl reboot`"):
        systemd.reboot()
    assert calls.read_text(encoding="utf-8").startswith("--quiet -- systemctl reboot")


def test_journal_writes_a_datagram_of_fields(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(path)
        fields = {"bootc.manifest_digest": "sha256:1", "bootc.reason": "two\nlines"}
        systemd.journal("Staged x", systemd.MESSAGE_STAGE, fields, to=path)
        received = journal.recv(4096)
    assert received == (
        b"MESSAGE=Staged x\n"
        b"MESSAGE_ID=8f7a2b1c3d4e5f6a7b8c9d0e1f2a3b4c\n"
        b"PRIORITY=6\n"
        b"BOOTC_MANIFEST_DIGEST=sha256:1\n"
        b"BOOTC_REASON\n\x09\0\0\0\0\0\0\0two\nlines\n"
    )


def test_journal_without_a_journal_is_quiet() -> None:
    systemd.journal("Staged x", systemd.MESSAGE_STAGE, {}, to="/nowhere/socket")
