"""Completion scripts for shells, made from a description of the commands.

The scripts are plain: pressing Tab must not start a Python.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Shell(StrEnum):
    """The shells there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An option by its names, with what may follow it: nothing, one of `values`, or anything."""

    names: tuple[str, ...]
    help: str
    takes_value: bool = False
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A command or group by its words after the program's name, and what can stand behind."""

    words: str  # empty for the program itself
    commands: tuple[tuple[str, str], ...] = ()  # name, help
    choices: tuple[Choice, ...] = ()


def completion_script(shell: Shell, program: str, tree: Sequence[Words]) -> str:
    """Return the script that lets `shell` complete `program`."""
    match shell:
        case Shell.BASH:
            return _bash(program, tree)
        case Shell.ZSH:
            # zsh runs bash's completions; that keeps one script to get right.
            return f"#compdef {program}\nautoload -U +X bashcompinit && bashcompinit\n" + _bash(
                program, tree
            )
        case Shell.FISH:
            return _fish(program, tree)


_BASH = """\
# Completion of {program} for bash; made by `{program} completion bash`.
_{program}() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} path= words= word
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$path/$word" in
{paths}
        esac
    done
    case "$path:$prev" in
{values}
        *)
            case $path in
{words}
            esac ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -o bashdefault -o default -F _{program} {program}
"""


def _bash(program: str, tree: Sequence[Words]) -> str:
    paths = [_path(each) for each in tree if each.words]
    values = [
        (f"{_path(each)}:{name}", choice)
        for each in tree
        for choice in each.choices
        if choice.takes_value
        for name in choice.names
    ]
    words = [(_path(each), _what_follows(each)) for each in tree]
    return _BASH.format(
        program=program,
        paths="\n".join(f"            {path}) path={path} ;;" for path in paths),
        values="\n".join(
            f"        {where}) words='{' '.join(choice.values)}' ;;" for where, choice in values
        ),
        words="\n".join(f"                '{path}') words='{text}' ;;" for path, text in words),
    )


def _path(each: Words) -> str:
    return "".join(f"/{word}" for word in each.words.split())


def _what_follows(each: Words) -> str:
    names = [name for choice in each.choices for name in choice.names]
    return " ".join([*(name for name, _ in each.commands), *names])


def _fish(program: str, tree: Sequence[Words]) -> str:
    lines = [f"# Completion of {program} for fish; made by `{program} completion fish`."]
    for each in tree:
        seen = [f"__fish_seen_subcommand_from {word}" for word in each.words.split()]
        if each.commands:
            names = " ".join(name for name, _ in each.commands)
            here = "; and ".join([*seen, f"not __fish_seen_subcommand_from {names}"])
            lines += [
                f"complete -c {program} -f -n {_quoted(here)} -a {name} -d {_quoted(about)}"
                for name, about in each.commands
            ]
        condition = f"-n {_quoted('; and '.join(seen))}" if seen else "-n __fish_use_subcommand"
        for choice in each.choices:
            named = " ".join(
                f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
                for name in choice.names
            )
            value = " -x -a " + _quoted(" ".join(choice.values)) if choice.values else " -r"
            lines.append(
                f"complete -c {program} {condition} {named}"
                f"{value if choice.takes_value else ''} -d {_quoted(choice.help)}"
            )
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
