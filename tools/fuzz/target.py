"""What is fuzzed: functions that take bytes, and may fail in one way only."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from bootcpy.errors import BootcpyError

Target = Callable[[bytes], None]


def all_targets() -> dict[str, Target]:
    """Return the targets by name."""
    modules = sorted((Path(__file__).parent / "targets").glob("*.py"))
    found = [import_module(f"tools.fuzz.targets.{each.stem}") for each in modules]
    return {name: target for module in found for name, target in sorted(module.TARGETS.items())}


def run(target: Target, content: bytes) -> None:
    """Call `target`; a refusal is an answer, any other exception is a finding."""
    try:
        target(content)
    except BootcpyError as e:
        if "\n" in e.message or "\n" in (e.hint or ""):
            raise AssertionError(f"the refusal is more than one line: {e.message!r}") from e
