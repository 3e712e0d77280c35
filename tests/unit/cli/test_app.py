import logging
import os
import re
import signal
import subprocess
import sys
from types import ModuleType
from typing import Annotated

import pytest
import typer

from bootcpy import __version__
from bootcpy.cli import app
from bootcpy.cli.commands import COMMANDS, GROUPS, NAMES, Command, named_by
from bootcpy.errors import BootcpyError, UsageError
from bootcpy.model.base.signals import ENDING_SIGNALS

SAMPLE = (
    Command(words="say", function="sample:say"),
    Command(words="fail", function="sample:fail"),
    Command(words="install to-disk", function="sample:to_disk"),
    Command(words="install finalize", function="sample:fail", hidden=True),
    Command(words="internals systemd-generator", function="sample:pass_on", takes_anything=True),
)


def say(word: Annotated[str, typer.Argument(help="What to say.")]) -> None:
    """Say a word."""
    print(word)


def fail(
    kind: Annotated[str, typer.Option(help="How to fail.")] = "plain",
) -> None:
    """Fail in some way."""
    match kind:
        case "plain":
            raise BootcpyError("the disk is gone")
        case "hint":
            raise BootcpyError("the disk is gone", hint="plug it in")
        case "usage":
            raise UsageError("--a and --b exclude each other")
        case "pipe":
            raise BrokenPipeError
        case "SIGTERM" | "SIGINT" | "SIGHUP":
            try:
                os.kill(os.getpid(), signal.Signals[kind])
            finally:
                print("cleaned up")
        case _:
            raise ZeroDivisionError


def to_disk() -> None:
    """Install onto a disk."""


def pass_on(arguments: Annotated[list[str], typer.Argument(help="Passed on.")]) -> None:
    """Pass arguments on."""
    print(arguments)


@pytest.fixture(autouse=True)
def _sample_module(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("bootcpy.cli.sample")
    for function in (say, fail, to_disk, pass_on):
        setattr(module, function.__name__, function)
    monkeypatch.setitem(sys.modules, "bootcpy.cli.sample", module)


def status_of(*argv: str) -> int:
    """Run a command line on the sample commands, as the console script does."""
    return app.main(argv, SAMPLE)


@pytest.mark.parametrize("name", ["bootc", "bootcpy"])
def test_version_is_under_the_name_the_program_was_called_by(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(f"/usr/bin/{name}", "--version") == 0
    assert capsys.readouterr().out == f"{name} {__version__}\n"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["/usr/bin/bootc", "status"], ("bootc", ["status"])),
        (["bootcpy/__main__.py", "status"], ("bootcpy", ["status"])),
        (
            ["/x/bootc-systemd-generator", "/run/a"],
            ("bootc", ["internals", "systemd-generator", "/run/a"]),
        ),
    ],
)
def test_called_as(argv: list[str], expected: tuple[str, list[str]]) -> None:
    assert app.called_as(argv) == expected


@pytest.mark.parametrize(
    ("kind", "status", "stderr"),
    [
        ("plain", 1, "error: the disk is gone\n"),
        ("hint", 1, "error: the disk is gone\nhint: plug it in\n"),
        ("usage", 2, "error: --a and --b exclude each other\n"),
    ],
)
def test_main_reports_our_errors(
    kind: str, status: int, stderr: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of("bootc", "fail", "--kind", kind) == status
    assert capsys.readouterr() == ("", stderr)


def test_main_leaves_a_bug_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        status_of("bootc", "fail", "--kind", "bug")


@pytest.mark.parametrize(("name", "status"), [("SIGHUP", 129), ("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_unwinds_and_gives_its_status(
    name: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers = [signal.getsignal(each) for each in ENDING_SIGNALS]
    assert status_of("bootc", "fail", "--kind", name) == status
    assert capsys.readouterr() == ("cleaned up\n", f"bootc: stopped by {name}\n")
    assert [signal.getsignal(each) for each in ENDING_SIGNALS] == handlers


@pytest.mark.parametrize(
    ("words", "message", "command"),
    [
        (["fail", "--nope"], "No such option: --nope", "bootc fail"),
        (["fail", "--kind"], "Option '--kind' requires an argument", r"bootc( fail)?"),
        (["nope"], "No such command 'nope'", "bootc"),
        (["install", "nope"], "No such command 'nope'", "bootc install"),
        (["say"], "Missing argument '(?:WORD|word).*'", "bootc say"),
        (["say", "a", "b"], r"Got unexpected extra argument.* \(b\)", "bootc say"),
    ],
)
def test_usage_errors_are_a_line_and_a_hint(
    words: list[str], message: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of("bootc", *words) == 2
    out, err = capsys.readouterr()
    assert not out
    # The words are typer's, and differ between its versions.
    assert re.fullmatch(f"error: {message}\nhint: see `{command} --help`\n", err)


@pytest.mark.parametrize(("words", "listed"), [([], "install"), (["install"], "to-disk")])
def test_no_command_is_help_and_a_usage_error(
    words: list[str], listed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of("bootc", *words) == 2
    out, err = capsys.readouterr()
    assert not out
    assert listed in err


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_commands_but_not_the_hidden(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of("bootc", flag) == 0
    top = capsys.readouterr().out
    assert status_of("bootc", "install", flag) == 0
    install = capsys.readouterr().out
    assert "say" in top
    assert "Say a word." in top
    assert "install" in top
    assert "internals" not in top
    assert "to-disk" in install
    assert "finalize" not in install
    assert "╭" not in top + install


@pytest.mark.parametrize(
    ("streams", "status", "stderr"),
    [
        (">/dev/full", 1, "error: no space left to write the output\n"),
        (">&-", 0, ""),
        ("2>&-", 0, ""),
    ],
)
def test_output_that_goes_nowhere(streams: str, status: int, stderr: str) -> None:
    ended = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -m bootcpy --version {streams}', sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr.partition("hint: ")[0]) == (status, stderr)


def test_takes_anything_hands_unknown_options_over(capsys: pytest.CaptureFixture[str]) -> None:
    generator = "/usr/lib/systemd/system-generators/bootc-systemd-generator"
    assert status_of(generator, "/run/systemd/generator", "--late") == 0
    assert capsys.readouterr().out == "['/run/systemd/generator', '--late']\n"


@pytest.mark.parametrize(
    ("words", "functions"),
    [
        (["say", "install"], ["sample:say"]),
        (["--help"], [c.function for c in SAMPLE]),
        ([], [c.function for c in SAMPLE]),
        (["nope"], [c.function for c in SAMPLE]),
        (["sa"], [c.function for c in SAMPLE]),
        (["install"], ["sample:to_disk", "sample:fail"]),
        (["install", "--help"], ["sample:to_disk", "sample:fail"]),
        (["install", "nope"], ["sample:to_disk", "sample:fail"]),
        (["install", "to-disk", "say"], ["sample:to_disk"]),
    ],
)
def test_named_by(words: list[str], functions: list[str]) -> None:
    assert [command.function for command in named_by(words, SAMPLE)] == functions


def test_the_table_is_consistent() -> None:
    words = [command.words for command in COMMANDS]
    assert len(set(words)) == len(words)
    assert {command.group for command in COMMANDS} <= {*GROUPS, ""}
    assert {name.rpartition(" ")[0] for name in NAMES.values()} <= set(GROUPS)


def test_the_whole_tree_can_be_built_without_libostree_or_root() -> None:
    heavy = ("gi", "sh", "parted", "pyudev", "rich.console", "rich.progress")
    script = (
        "import sys; from bootcpy.cli import app, tree;"
        f"tree.tree(); print([m for m in {heavy!r} if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("", logging.WARNING),
        ("debug", logging.DEBUG),
        ("INFO", logging.INFO),
        ("ostree=trace,info", logging.INFO),
        ("trace", logging.DEBUG),
        ("nonsense", logging.WARNING),
    ],
)
def test_log_level(text: str, level: int) -> None:
    assert app.log_level(text) == level


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_a_closed_pipe_ends_quietly(word: str) -> None:
    script = f"import sys; from bootcpy.cli import app; sys.exit(app.main(['bootc', {word!r}]))"
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(
        [sys.executable, "-c", script], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert (ran.returncode, ran.stderr) == (1, b"")
