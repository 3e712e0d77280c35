"""Unit tests cannot touch the machine: no program is on PATH unless a test puts it there."""

from collections.abc import Callable
from pathlib import Path

import pytest

# Makes a program that records its arguments, one call per line, and returns the record's path.
FakeTool = Callable[..., Path]


@pytest.fixture(autouse=True)
def tools_directory(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    directory = tmp_path_factory.mktemp("path")
    monkeypatch.setenv("PATH", str(directory))
    return directory


@pytest.fixture
def fake_tool(tools_directory: Path) -> FakeTool:
    def make(name: str, *, stdout: str = "", stderr: str = "", status: int = 0) -> Path:
        calls = tools_directory / f"{name}.calls"
        calls.touch()
        for stream, text in (("stdout", stdout), ("stderr", stderr)):
            (tools_directory / f"{name}.{stream}").write_text(text, encoding="utf-8")
        program = tools_directory / name
        program.write_text(
            "#!/bin/sh\n"
            f'echo "$*" >>{calls}\n'
            f"while IFS= read -r line; do printf '%s\\n' \"$line\"; done <{program}.stdout\n"
            f"while IFS= read -r line; do printf '%s\\n' \"$line\"; done <{program}.stderr >&2\n"
            f"exit {status}\n",
            encoding="utf-8",
        )
        program.chmod(0o755)
        return calls

    return make
