"""How long status and upgrades take, and how much memory.

`python -m bench.update [--runs N]` on the host (root). Measured inside a container of the
built image, on a root that seems booted, against a registry in the same container that
serves the image over plain HTTP: `bootc status`, an upgrade with nothing new, an upgrade of
one small layer, and one of one layer of 200 MB of files from the image itself; each of the
last two in turn with fetching the same layer with `skopeo copy`, unpacking it with `tar`, and
sync. The figures are medians; memory is what all processes of an upgrade of the large layer
have together (PSS), at its highest.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.in_container import measure


def inside(runs: int, directory: Path) -> None:
    """Measure and print the report; called in the container, where libostree's bindings are."""
    from bench import update_figures  # noqa: PLC0415 - needs what only the image has

    update_figures.inside(runs, directory)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the image, measure inside it; the report is printed there."""
    measure(
        "bench.update",
        inside,
        description=__doc__,
        title="Measuring updates of each kind",
        arguments=arguments,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
