"""Run the system tests inside the built image: `python -m tools.system_tests [PYTEST ARGUMENT...]`.

Without arguments it also measures how much of `bootcpy/verbs` they run, which has a floor: see
`tools.verbs_coverage`.

They need root, loop devices and the image's own libostree and skopeo, so they run where an
installation runs, in a privileged container. The unit tests run there too: against the
versions of every library that the distribution ships. So do the rows of `tests/hostile`.

Two suites run at a time, each in a container and on a file system of its own: whoever writes a
boot entry freezes the file system for a moment, and whoever changes a mount of it finds it busy.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import Pool
from pathlib import Path

from bootcpy.errors import BootcpyError, ExitStatus
from tools import containers, image, steps, test_report, verbs_coverage

REFERENCE = "localhost/bootcpy-tests:latest"
CONTAINERFILE = image.ROOT / "tests" / "system" / "Containerfile"
# On the host's own file system, not the container's overlay; kept for a look after a failure.
SCRATCH = image.ROOT / ".cache" / "system-tests"
_SCRATCH_BYTES = 16 << 30  # sparse
_TEST_TIMEOUT_S = 900
# What runs when nothing else is asked for, by the name of its report; what takes longest first.
_SUITES = {
    "hostile": ("-m", "not slow", "tests/hostile"),
    "host": ("tests/system/host", "tests/system/boot"),
    "image": ("tests/system/image", "tests/system/layers"),
    "install": ("tests/system/install", "tests/unit"),
}
_AT_ONCE = 2
_MEASURED = frozenset(_SUITES) - {"hostile"}
# Where the container notes which lines of the verbs ran, in any process.
_SEEN = "/seen-lines"


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
    if arguments:
        _run_inside(built.reference, "system", arguments, SCRATCH)
        return
    with Pool(_AT_ONCE) as pool:
        passed = pool.starmap(
            _run_suite,
            [(built.reference, name, options) for name, options in _SUITES.items()],
            chunksize=1,
        )
    failed = [name for name, good in zip(_SUITES, passed, strict=True) if not good]
    if not failed:
        _require_coverage(built.reference)
    else:
        raise BootcpyError(
            f"system tests failed: {', '.join(failed)}",
            hint=f"what they said is above, their files are in the disk images in {SCRATCH}",
        )


def _run_suite(reference: str, name: str, options: Sequence[str]) -> bool:
    """Run a suite beside another one, and tell whether it passed."""
    os.environ[steps.SPEAKER] = name
    with steps.step(f"Running the tests inside {reference}"), _file_system(name) as scratch:
        try:
            _run_inside(reference, name, options, scratch)
        except BootcpyError as e:
            steps.say(e.message)
            return False
    return True


def _require_coverage(reference: str) -> None:
    """Require that what the suites noted is as much of the verbs as it has to be.

    Raises:
        BootcpyError: it is less.
    """
    records = {_record_of(name): f"{_SEEN}-{name}" for name in _MEASURED}
    with steps.step("Looking which lines of the commands no test has run"):
        try:
            _python(reference, ["-m", "tools.verbs_coverage", *records.values()], mounts=records)
        except BootcpyError as e:
            raise BootcpyError(
                f"the system tests run too little of {verbs_coverage.MEASURED}",
                hint="the lines that did not run are named above",
            ) from e


def _record_of(name: str) -> Path:
    return SCRATCH / f"{name}.seen"


def _run_inside(reference: str, name: str, options: Sequence[str], scratch: Path) -> None:
    """Run pytest in a container of the image `reference`; `name` is that of the report."""
    pytest = (
        *("-m", "pytest", "-p", "no:cacheprovider", f"--basetemp=/target/{name}"),
        *(f"--timeout={_TEST_TIMEOUT_S}", f"--junitxml=/reports/{name}.xml"),
    )
    variables = ["HYPOTHESIS_STORAGE_DIRECTORY=/target/hypothesis"]
    mounts = {test_report.REPORTS: "/reports"}
    if name in _MEASURED:
        record = _record_of(name)
        record.touch()
        record.chmod(0o666)  # some tests run the program as nobody
        mounts[record] = _SEEN
        variables += [
            "PYTHONPATH=/src/tools/seen_lines",
            f"SEEN_LINES_BELOW=/src/{verbs_coverage.MEASURED}/",
            f"SEEN_LINES_IN={_SEEN}",
        ]
    _python(reference, [*pytest, *options], variables, target=scratch, mounts=mounts)


def _python(
    reference: str,
    argv: Sequence[str],
    variables: Sequence[str] = (),
    *,
    target: Path | None = None,
    mounts: Mapping[Path, str],
) -> None:
    """Run Python on the sources, in a container of the image `reference`."""
    containers.run_installer(
        reference,
        [
            *("env", "--chdir=/src", "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"),
            *variables,
            *("python3", *argv),
        ],
        target=target,
        mounts={image.ROOT: "/src:ro", **mounts},
    )


def _empty_scratch() -> None:
    if SCRATCH.exists():
        # libostree makes the root of a deployment immutable.
        subprocess.run(["chattr", "-R", "-f", "-i", SCRATCH], check=False, capture_output=True)
        shutil.rmtree(SCRATCH)
    SCRATCH.mkdir(parents=True)


@contextmanager
def _file_system(name: str) -> Iterator[Path]:
    """Yield a directory on a file system of its own, which stays in `SCRATCH` as `name`.img."""
    disk, directory = SCRATCH / f"{name}.img", SCRATCH / name
    directory.mkdir()
    with disk.open("wb") as file:
        file.truncate(_SCRATCH_BYTES)
    subprocess.run(["mkfs.ext4", "-q", disk], check=True)
    subprocess.run(["mount", "-o", "loop", disk, directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


def main() -> int:
    """Run the command line and return its exit status."""
    try:
        run(sys.argv[1:])
    except BootcpyError as e:
        return steps.report(e)
    return ExitStatus.OK


if __name__ == "__main__":
    sys.exit(main())
