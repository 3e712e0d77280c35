"""Run the system tests inside the built image: `python -m tools.system_tests [PYTEST ARGUMENT...]`.

They need root, loop devices and the image's own libostree and skopeo, so they run where an
installation runs, in a privileged container. The unit tests run there too: against the
versions of every library that the distribution ships.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bootcpy.errors import BootcpyError, ExitStatus
from tools import containers, image, steps, test_report

REFERENCE = "localhost/bootcpy-tests:latest"
CONTAINERFILE = image.ROOT / "tests" / "system" / "Containerfile"
# On the host's own file system, not the container's overlay; kept for a look after a failure.
SCRATCH = image.ROOT / ".cache" / "system-tests"
_TEST_TIMEOUT_S = 900


def run(arguments: Sequence[str]) -> None:
    """Run pytest on `arguments`, by default on all of them.

    Raises:
        BootcpyError: a test failed, or the image is not built.
    """
    with steps.step(f"Adding the tests' own packages to {image.REFERENCE}"):
        built = image.build(
            REFERENCE,
            containerfile=CONTAINERFILE,
            context=CONTAINERFILE.parent,
            base=image.find().reference,
        )
    _empty_scratch()
    test_report.REPORTS.mkdir(parents=True, exist_ok=True)
    with steps.step(f"Running the tests inside {REFERENCE}"), _in_short():
        containers.run_installer(
            built.reference,
            [
                *("env", "--chdir=/src", "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"),
                "HYPOTHESIS_STORAGE_DIRECTORY=/target/hypothesis",
                *("python3", "-m", "pytest", "-p", "no:cacheprovider", "--basetemp=/target/tmp"),
                *(f"--timeout={_TEST_TIMEOUT_S}", "--junitxml=/reports/system.xml"),
                *(arguments or ("tests/unit", "tests/system")),
            ],
            target=SCRATCH,
            mounts={image.ROOT: "/src:ro", test_report.REPORTS: "/reports"},
        )


def _empty_scratch() -> None:
    if SCRATCH.exists():
        # libostree makes the root of a deployment immutable.
        subprocess.run(["chattr", "-R", "-f", "-i", SCRATCH], check=False, capture_output=True)
        shutil.rmtree(SCRATCH)
    SCRATCH.mkdir(parents=True)


@contextmanager
def _in_short() -> Iterator[None]:
    try:
        yield
    except BootcpyError as e:
        raise BootcpyError(
            "the system tests failed", hint=f"what they said is above, their files are in {SCRATCH}"
        ) from e


def main() -> int:
    """Run the command line and return its exit status."""
    try:
        run(sys.argv[1:])
    except BootcpyError as e:
        return steps.report(e)
    return ExitStatus.OK


if __name__ == "__main__":
    sys.exit(main())
