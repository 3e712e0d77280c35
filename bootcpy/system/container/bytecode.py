"""Python's compiled modules, in a form that ostree leaves valid.

A compiled module usually names the modification time of its source, and ostree sets that to
zero: on a deployed system, where /usr cannot be written, Python would compile every module
again at every start. One that names a hash of its source (PEP 552) stays valid, and is
still noticed to be out of date when an image built on top replaces the source.
"""

import importlib.util
import os
import py_compile
from collections.abc import Iterator
from pathlib import Path

import bootcpy

_LIBRARIES = ("usr/lib/python3*", "usr/local/lib/python3*")
_HEADER_BYTES = 16  # magic, flags, then either time and size or a hash of the source
_BY_HASH = 0b11  # hash-based, and to be checked
PACKAGE = Path(bootcpy.__file__).parent  # which no package installer compiles


def make_independent_of_time(root: Path, *, package: Path = PACKAGE) -> int:
    """Make every compiled module of the system's Python name its source's hash; return how many.

    Modules of `package`, this one, are compiled where they are not.
    """
    changed = 0
    for compiled, source in _compiled_modules(root, package):
        if compiled.exists() and _names_hash(compiled):
            continue
        if not _rewrite_header(compiled, source):
            by_hash = py_compile.PycInvalidationMode.CHECKED_HASH
            py_compile.compile(
                str(source),
                cfile=str(compiled),
                dfile=f"/{source.relative_to(root)}",
                invalidation_mode=by_hash,
                quiet=2,  # some packages ship templates that are not Python
            )
        changed += compiled.exists()
    return changed


def _compiled_modules(root: Path, package: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the compiled form and the source of each module that is or should be compiled."""
    tag = importlib.util.cache_from_source("x.py").removeprefix("__pycache__/x")
    for library in (path for pattern in _LIBRARIES for path in sorted(root.glob(pattern))):
        for compiled in sorted(library.rglob(f"*{tag}")):
            source = compiled.parent.parent / f"{compiled.name.removesuffix(tag)}.py"
            if source.exists():
                yield compiled, source
    for source in sorted((root / package.relative_to("/")).rglob("*.py")):
        compiled = Path(importlib.util.cache_from_source(str(source)))
        if not compiled.exists():
            yield compiled, source


def _names_hash(compiled: Path) -> bool:
    with compiled.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    return header[:4] == importlib.util.MAGIC_NUMBER and bool(header[4] & 1)


def _rewrite_header(compiled: Path, source: Path) -> bool:
    """Make `compiled` name the hash of `source`; return False if it is not made of that."""
    if not compiled.exists():
        return False
    body = compiled.read_bytes()
    status = source.stat()
    time_and_size = b"".join(
        (number & 0xFFFFFFFF).to_bytes(4, "little")
        for number in (int(status.st_mtime), status.st_size)
    )
    if body[:_HEADER_BYTES] != importlib.util.MAGIC_NUMBER + bytes(4) + time_and_size:
        return False
    digest = importlib.util.source_hash(source.read_bytes())
    header = importlib.util.MAGIC_NUMBER + _BY_HASH.to_bytes(4, "little") + digest
    temporary = compiled.with_name(f".{compiled.name}.new")
    temporary.write_bytes(header + body[_HEADER_BYTES:])
    temporary.chmod(0o644)
    os.replace(temporary, compiled)  # noqa: PTH105 - as one call, whole or not at all
    return True
