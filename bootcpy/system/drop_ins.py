"""Configuration directories with systemd's rules: later bases override, /dev/null masks."""

from collections.abc import Sequence
from pathlib import Path

from bootcpy.errors import ConfigurationError


def read_drop_ins(bases: Sequence[Path], *, suffix: str) -> tuple[tuple[str, str], ...]:
    """Return (path, text) of each drop-in, in file name order across the directories `bases`.

    A file replaces the one of the same name in an earlier base; an empty file, or a link
    to /dev/null, removes it. A missing directory is an empty one.

    Raises:
        ConfigurationError: a file cannot be read or is not UTF-8.
    """
    found: dict[str, Path] = {}
    for base in bases:
        for path in base.glob(f"*{suffix}"):
            found[path.name] = path
    texts = ((str(found[name]), _read(found[name])) for name in sorted(found))
    return tuple((path, text) for path, text in texts if text)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as e:
        raise ConfigurationError(f"cannot read {path}: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise ConfigurationError(f"{path} is not UTF-8 text") from e
