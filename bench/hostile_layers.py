"""What layers of very many members cost to import, against listing them, and how much memory.

`python -m bench.hostile_layers [--runs N]` on the host (root). Measured inside a container of the
built image, into an empty repository, from an OCI directory: layers of a million empty files, and
other shapes that made memory or time grow once; then an image of 300 small layers. Each in turn
with `tar -t` of the same layers. The times are medians; memory is what the processes of an import
have of their own together, at its highest.
"""

import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.in_container import measure

if TYPE_CHECKING:
    from tests.system.support.oci_images import LayerBlob

_MIB = 1 << 20
_GOAL_MIB = 200
_COUNTS = {
    "empty files": 1_000_000,
    "empty directories": 1_000_000,
    "whiteouts": 500_000,
    "names of 3,500 bytes": 50_000,
    "hard links": 250_000,
    "symbolic links": 100_000,
}
_LAYERS = 300
_IMPORT = """
import sys
from pathlib import Path
from bootcpy.model.image.reference import ImageReference
from tests.system.support.pulls import pull
pull(Path(sys.argv[1]), ImageReference.parse(sys.argv[2]))
"""


def inside(runs: int, directory: Path) -> None:
    """Measure and print the report; called in the container."""
    from tests.hostile_layers import SHAPES, layer  # noqa: PLC0415 - only the image has what it needs
    from tests.layers import file  # noqa: PLC0415
    from tests.system.support.oci_images import LayerBlob  # noqa: PLC0415

    print(f"{runs} runs, medians                     import   tar -t    ratio   memory")
    for shape, count in _COUNTS.items():
        _report(f"{count:9,} {shape}", [layer(SHAPES[shape](count))], runs, directory)
    small = [LayerBlob.of(file(f"usr/share/{n}", b"%d" % n)) for n in range(_LAYERS)]
    _report(f"{_LAYERS:9,} small layers", small, runs, directory)
    print(f"the goal for memory is {_GOAL_MIB} MiB, and for the small layers 8 s")


def _report(name: str, layers: "Sequence[LayerBlob]", runs: int, directory: Path) -> None:
    from tests.system.support.memory import run_and_watch  # noqa: PLC0415
    from tests.system.support.oci_images import OciDirectory  # noqa: PLC0415

    place = directory / "layers"
    times, plain, peaks = [], [], []
    for _ in range(runs):
        shutil.rmtree(place, ignore_errors=True)
        oci = OciDirectory(place / "oci")
        image = oci.add_image(layers)
        repo = place / "repo"
        subprocess.run(["ostree", f"--repo={repo}", "init", "--mode=bare"], check=True)
        done = run_and_watch([sys.executable, "-c", _IMPORT, str(repo), str(image)])
        if done.status:
            raise SystemExit(done.stderr)
        times.append(done.wall_s)
        peaks.append(done.peak_bytes / _MIB)
        blobs = [oci.blob_path(layer.digest) for layer in layers]
        plain.append(_seconds(lambda: _list(blobs)))  # noqa: B023 - called here
    shutil.rmtree(place)
    took, other = statistics.median(times), statistics.median(plain)
    print(
        f"{name:35}{took:7.1f} s{other:7.1f} s{took / other:9.2f}{max(peaks):5.0f} MiB", flush=True
    )


def _list(blobs: Sequence[Path]) -> None:
    for blob in blobs:
        subprocess.run(["tar", "-tzf", blob], check=True, stdout=subprocess.DEVNULL)


def _seconds(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the image, measure inside it; the report is printed there."""
    measure(
        "bench.hostile_layers",
        inside,
        description=__doc__,
        title="Measuring layers of very many members",
        arguments=arguments,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
