"""Configuration directories with systemd's rules: later bases override, /dev/null masks."""

from collections.abc import Sequence
from pathlib import Path

from bootcpy.errors import ConfigurationError
from bootcpy.model.base.size import LARGEST_CONFIGURATION_BYTES, MOST_DROP_INS
from bootcpy.model.image.tree import ImageTree, content

_MASKED = "/dev/null"


def drop_ins(tree: ImageTree, bases: Sequence[Path], *, suffix: str) -> tuple[tuple[str, str], ...]:
    """Return (path, text) of each drop-in of `tree`, in file name order across `bases`.

    A file replaces the one of the same name in an earlier base; an empty file, or a link
    to /dev/null, removes it. A missing directory is an empty one.

    Raises:
        ConfigurationError: a file cannot be read, is not UTF-8, or is too large; or there
            are too many.
    """
    found: dict[str, Path] = {}
    for base in bases:
        try:
            names = tree.names(base, limit=MOST_DROP_INS)
        except OSError as e:
            raise ConfigurationError(f"cannot read /{base}: {e.strerror}") from e
        found |= {name: base / name for name in names if name.endswith(suffix)}
    texts = ((f"/{found[name]}", _text(tree, found[name])) for name in sorted(found))
    return tuple((path, text) for path, text in texts if text)


def _text(tree: ImageTree, path: Path) -> str:
    if tree.link_target(path) == _MASKED:
        return ""
    try:
        return content(tree, path, limit_bytes=LARGEST_CONFIGURATION_BYTES).decode()
    except OSError as e:
        raise ConfigurationError(f"cannot read /{path}: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise ConfigurationError(f"/{path} is not UTF-8 text") from e
