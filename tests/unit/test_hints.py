"""What errors tell people to do is compared by some test: a hint that nobody reads goes stale."""

import ast
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[2]

# What no test compares, by the reason. This may only become shorter.
_UNTESTED = {
    "is shown without its hint, as a note or a finding of fsck": (
        "follow an image: bootc switch IMAGE",
        "mount the EFI system partition of the disk that is installed to",
        "upgrade to it: bootc upgrade",
    ),
    "needs a disk or a kernel that fails at one certain moment": (
        "detach one: see `losetup --list`",
        "in a container, add --privileged",
        "load the kernel module `loop`; in a container, add --privileged -v /dev:/dev",
        "run as root; in a container, add --privileged",
        "check whether the file system of /sysroot is full or damaged (`dmesg`)",
        "see the kernel's messages (`dmesg`) about the disk, then try again",
        "see the kernel's messages (`dmesg`), or choose another disk",
        "another program began to use the disk; stop it and try again",
        "the disk may be failing or in use: see the kernel's messages (`dmesg`)",
        "the disk may be failing: see the kernel's messages (`dmesg`)",
    ),
    "needs another version of libostree or of its bindings than the image has": (
        "it needs libostree 2023.8 or newer",
        "it takes effect at the next normal reboot",
        "omit --download-only, or install another version of PyGObject",
        "reboot first, or use a newer libostree",
    ),
    "needs a system that lacks what every tested one has": (
        "`bootc container prepare` writes it into an image",
        "install ostree and try again",
        "look for omit_dracutmodules in /etc/dracut.conf.d",
        "remove it in the image, or use a file system that supports it",
        "run the command as root",
    ),
    "could be compared, and nobody has so far": (
        " a directory in the image, not a link",
        "check the network, and run the command again; BOOTC_STALL_TIMEOUT sets the timeout",
        "deploy one first, or leave out --mutate-in-place",
        "name one with --source",
        "run `bootc upgrade` first",
        "see what `skopeo inspect ",
        "the image is corrupt or hostile; do not use it",
    ),
}


def test_every_hint_is_compared_by_a_test() -> None:
    hints = {text for module in _trees("bootcpy") for text in _hints(module)}
    assert len(hints) > 150
    compared = "\n".join(text for module in _trees("tests") for text in _texts(module))
    excused = {text for texts in _UNTESTED.values() for text in texts}
    assert {text for text in hints if text not in compared} == excused


def _trees(folder: str) -> Iterator[ast.Module]:
    for path in sorted((_ROOT / folder).rglob("*.py")):
        if path != Path(__file__):
            yield ast.parse(path.read_text(encoding="utf-8"))


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _hints(module: ast.Module) -> Iterator[str]:
    """Yield of each hint that a module has its longest part without a value in it.

    A hint is given to `hint=`, there or as a name, or is a class's `usual_hint`.
    """
    named: dict[str, list[ast.expr]] = {}
    given: list[ast.expr] = []
    for node in ast.walk(module):
        if isinstance(node, ast.keyword) and node.arg == "hint":
            given.append(node.value)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    named.setdefault(target.id, []).append(node.value)
    given += named.get("usual_hint", [])
    given += [value for name, values in named.items() if name.endswith("HINT") for value in values]
    for value in given:
        for choice in _choices(value, named):
            if longest := max(_literals(choice), key=len, default=""):
                yield longest


def _choices(value: ast.expr, named: dict[str, list[ast.expr]]) -> Iterator[ast.expr]:
    match value:
        case ast.IfExp():
            yield from (*_choices(value.body, named), *_choices(value.orelse, named))
        case ast.BoolOp():
            for each in value.values:
                yield from _choices(each, named)
        case ast.Name() if value.id in named:
            for each in named[value.id]:
                if not (isinstance(each, ast.Name) and each.id == value.id):
                    yield from _choices(each, {k: v for k, v in named.items() if k != value.id})
        case _:
            yield value


def _literals(value: ast.expr) -> list[str]:
    """Return the texts that make up an expression, but not those of calls within it."""
    match value:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr():
            return [text for each in value.values for text in _literals(each)]
        case ast.BinOp():
            return [*_literals(value.left), *_literals(value.right)]
        case _:
            return []
