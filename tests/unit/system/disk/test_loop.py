from pathlib import Path

from bootcpy.errors import TargetError
from bootcpy.system.disk import loop
from tests.refusals import refused


def test_attached_refuses_what_cannot_be_opened(tmp_path: Path) -> None:
    missing = tmp_path / "disk.img"
    hint = "find what uses it (`lsof`), and check that it is not read-only"
    with (
        refused(TargetError, f"^cannot open {missing} for writing: No such file", hint=hint),
        loop.attached(missing, nodes=tmp_path),
    ):
        pass
