"""What every benchmark does: build the image, run itself inside it, and hand back what it said."""

import argparse
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
_INSIDE = "--inside"


def measure(
    module: str,
    inside: Callable[[int, Path], None],
    *,
    description: str | None,
    title: str,
    arguments: Sequence[str] | None = None,
) -> str | None:
    """Run `inside(runs, directory)` in a container of the built image and return its output.

    The container runs `module` again, with an option that makes this function call `inside`
    there; the answer is then None. `directory` is on the host's own file system.
    """
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="how often each is measured")
    parser.add_argument(_INSIDE, metavar="DIRECTORY", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        inside(options.runs, options.inside)
        return None
    from tools import containers, image, steps  # noqa: PLC0415 - for the host only

    built = image.build()
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp", prefix="bench-") as directory,
        steps.step(f"{title}, {options.runs} runs"),
    ):
        try:
            return containers.run_installer(
                built.reference,
                [
                    *("env", "--chdir=/src", "python3", "-m", module),
                    *(f"--runs={options.runs}", _INSIDE, "/target"),
                ],
                target=Path(directory),
                mounts={REPOSITORY: "/src:ro"},
            )
        finally:
            # libostree makes the root of a deployment immutable.
            subprocess.run(["chattr", "-R", "-f", "-i", directory], check=False)
