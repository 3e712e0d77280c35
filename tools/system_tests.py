"""Run the system tests inside the built image: `python -m tools.system_tests [PYTEST ARGUMENT...]`.

They need root, loop devices and the image's own libostree and skopeo, so they run where an
installation runs, in a privileged container. The unit tests run there too: against the
versions of every library that the distribution ships. So do the rows of `tests/hostile`, two
files at a time.
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
# What runs when nothing else is asked for, by the name of its report.
_SUITES = {
    "system": ("tests/unit", "tests/system"),
    "hostile": ("--numprocesses=2", "--dist=loadfile", "-m", "not slow", "tests/hostile"),
}


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
    suites = {"system": tuple(arguments)} if arguments else _SUITES
    failures = []
    for name, options in suites.items():
        try:
            with steps.step(f"Running the tests inside {REFERENCE}: {name}"), _in_short():
                _run_inside(built.reference, name, options)
        except BootcpyError as e:
            failures.append(e)
    if failures:
        raise failures[0]


def _run_inside(reference: str, name: str, options: Sequence[str]) -> None:
    """Run pytest in a container of the image `reference`; `name` is that of the report."""
    containers.run_installer(
        reference,
        [
            *("env", "--chdir=/src", "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"),
            "HYPOTHESIS_STORAGE_DIRECTORY=/target/hypothesis",
            *("python3", "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp=/target/{name}"),
            *(f"--timeout={_TEST_TIMEOUT_S}", f"--junitxml=/reports/{name}.xml"),
            *options,
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
