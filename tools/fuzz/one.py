"""Fuzz one target until something is found: `python -m tools.fuzz.one TARGET OPTION... SEEDS`.

The engine is libFuzzer, by atheris, and the options are its own; see `tools.fuzz.session`.
"""

import sys

import atheris

from tools.fuzz.target import all_targets, run


def main() -> None:
    """Run the engine, which ends the process."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["bootcpy"], enable_loader_override=False):
        target = all_targets()[name]
    atheris.Setup(sys.argv, lambda content: run(target, content))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
