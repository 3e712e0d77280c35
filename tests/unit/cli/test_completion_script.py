import subprocess
from collections.abc import Sequence

import pytest

from bootcpy.cli.completion_script import Choice, Shell, Words, completion_script

_QUIET = Choice(names=("--quiet", "-q"), help="Say nothing.")
_FORMAT = Choice(names=("--format",), help="A form.", takes_value=True, values=("json", "yaml"))
_ROOT = Choice(names=("--root",), help="It's a path.", takes_value=True)
_TREE = (
    Words(words="", commands=(("status", "Show."), ("install", "Install.")), choices=(_QUIET,)),
    Words(words="install", commands=(("to-disk", "To a disk."),)),
    Words(words="status", choices=(_FORMAT, _QUIET)),
    Words(words="install to-disk", choices=(_ROOT, _QUIET)),
)


def _completions(line: Sequence[str]) -> list[str]:
    """Press Tab in a bash behind `line`, whose last word is what was typed of it."""
    script = completion_script(Shell.BASH, "bootc", _TREE)
    words = " ".join(f"'{word}'" for word in line)
    press = f"COMP_WORDS=({words}); COMP_CWORD={len(line) - 1}; _bootc; echo ${{COMPREPLY[@]}}"
    finished = subprocess.run(
        ["/bin/bash", "--norc", "-uc", f"{script}\n{press}"],
        text=True,
        capture_output=True,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["bootc", ""], ["status", "install", "--quiet", "-q"]),
        (["bootc", "st"], ["status"]),
        (["bootc", "install", ""], ["to-disk"]),
        (["bootc", "status", "--f"], ["--format"]),
        (["bootc", "status", "--format", ""], ["json", "yaml"]),
        (["bootc", "status", "--format", "y"], ["yaml"]),
        (["bootc", "install", "to-disk", "--"], ["--root", "--quiet"]),
        (["bootc", "install", "to-disk", "--root", ""], []),
        (["bootc", "install", "to-disk", "/dev/vda", "--q"], ["--quiet"]),
        (["bootc", "install", "status", "--q"], []),
    ],
)
def test_bash(line: Sequence[str], expected: list[str]) -> None:
    assert _completions(line) == expected


def test_zsh_runs_the_script_of_bash() -> None:
    script = completion_script(Shell.ZSH, "bootc", _TREE)
    assert script.startswith("#compdef bootc\n")
    assert script.endswith(completion_script(Shell.BASH, "bootc", _TREE))


def test_fish() -> None:
    lines = completion_script(Shell.FISH, "bootc", _TREE).splitlines()
    assert (
        "complete -c bootc -f -n 'not __fish_seen_subcommand_from status install' "
        "-a status -d 'Show.'"
    ) in lines
    assert (
        "complete -c bootc -n '__fish_seen_subcommand_from status' -l format"
        " -x -a 'json yaml' -d 'A form.'"
    ) in lines
    assert (
        "complete -c bootc -n '__fish_seen_subcommand_from install; and "
        "__fish_seen_subcommand_from to-disk' -l root -r -d 'It\\'s a path.'"
    ) in lines
