"""The measurements of `bench.update`, made inside a container of the image."""

import gzip
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.install import tree_memory_bytes
from tests.system.support.booted_host import BootedHost
from tests.system.support.faulty_registry import FaultyRegistry, serving
from tests.system.support.oci_layout import BASE, write_image

_BIG_LAYER_BYTES = 200_000_000
_GOAL_STATUS_MS = 150
_GOAL_RATIO = 1.5
_MIB = 1 << 20
_SAMPLE_INTERVAL_S = 0.05


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes."""
    started = time.monotonic()
    work()
    return time.monotonic() - started


def big_layer(number: int) -> bytes:
    """Return a layer, compressed, of files of this very system, different for each number."""
    stream = io.BytesIO()
    total = 0
    with (
        gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in sorted(Path("/usr/lib").rglob("*")):
            if path.is_symlink() or not path.is_file() or "modules" in path.parts:
                continue
            tar.add(path, arcname=f"usr/lib/copy{number}/{path.relative_to('/usr/lib')}")
            total += path.stat().st_size
            if total > _BIG_LAYER_BYTES:
                break
    return stream.getvalue()


def inside(runs: int, directory: Path) -> None:
    """Measure, and print the report; called in the container."""
    layout = directory / "layout"
    with serving(layout) as registry:
        first = write_image(layout, [BASE])
        host = _installed(directory, registry)
        for command in ("status", "upgrade"):  # to compile them
            _bootc(host, command)
        status = [seconds(lambda: _bootc(host, "status", "--json")) for _ in range(runs * 5)]
        entering = [seconds(lambda: _enter(host, "true")) for _ in range(runs * 5)]
        nothing = [seconds(lambda: _bootc(host, "upgrade")) for _ in range(runs)]
        small, small_plain, large, large_plain = [], [], [], []
        for number in range(runs):
            write_image(layout, [BASE, {"usr/number": str(number)}], version=str(number))
            small.append(seconds(lambda: _upgrade(host)))
            small_plain.append(_fetch_and_unpack(registry, directory))
        for number in range(runs):
            write_image(layout, [BASE, big_layer(number)], version=f"big{number}")
            large.append(seconds(lambda: _upgrade(host)))
            large_plain.append(_fetch_and_unpack(registry, directory))
        write_image(layout, [BASE, big_layer(runs)], version=f"big{runs}")
        peak_bytes = _peak_memory_bytes(host)
        host.release()
    middle = statistics.median
    status_ms = (middle(status) - middle(entering)) * 1000
    print(f"image {first[:19]}, {runs} runs, medians")
    print(f"bootc status                       {status_ms:7.0f} ms   (goal {_GOAL_STATUS_MS})")
    print(f"upgrade, nothing new               {middle(nothing):7.2f} s")
    for name, upgrades, plains in (
        ("one small layer", small, small_plain),
        ("one layer of 200 MB", large, large_plain),
    ):
        ratio = middle(upgrades) / middle(plains)
        print(f"upgrade, {name:26}{middle(upgrades):7.2f} s")
        print(f"skopeo copy, tar -x of that layer  {middle(plains):7.2f} s")
        print(f"ratio                              {ratio:7.2f}     (goal {_GOAL_RATIO})")
    print(f"memory, all processes at once      {peak_bytes / _MIB:7.0f} MiB   (goal 150)")


def _installed(directory: Path, registry: FaultyRegistry) -> BootedHost:
    from bootcpy.model.base.progress import Silent  # noqa: PLC0415 - only inside the container
    from bootcpy.model.image.reference import ImageReference, SignedImageReference  # noqa: PLC0415
    from bootcpy.ostree.host import sysroot  # noqa: PLC0415
    from bootcpy.ostree.image import importer  # noqa: PLC0415
    from bootcpy.system.image import skopeo  # noqa: PLC0415

    configuration = directory / ".config/containers/registries.conf"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(registry.configuration, encoding="utf-8")
    os.environ["HOME"] = str(directory)
    host = BootedHost.make(directory)
    host.fake_program("systemctl")
    reference = ImageReference.parse(f"docker://{registry.name}")
    with skopeo.opened(reference) as image:
        commit = importer.pull(
            host.root / "ostree/repo", image, record_as=reference, progress=Silent()
        )
    origin = SignedImageReference(reference)
    sysroot.deploy(host.root, commit, stateroot="default", origin=origin, kargs=["rw"])
    host.boot()
    return host


def _environment(host: BootedHost) -> dict[str, str]:
    """Return the host's environment; bytecode is kept, as the image has it of what it installs."""
    ours = {"PYTHONPYCACHEPREFIX": str(host.root.parent / "bytecode")}
    kept = {k: v for k, v in host.environment().items() if k != "PYTHONDONTWRITEBYTECODE"}
    return kept | ours


def _enter(host: BootedHost, *words: str) -> None:
    subprocess.run(
        host.command(*words), env=_environment(host), stdout=subprocess.DEVNULL, check=True
    )


def _bootc(host: BootedHost, *words: str) -> None:
    _enter(host, sys.executable, "-m", "bootcpy", *words)


def _upgrade(host: BootedHost) -> None:
    """Upgrade, and sync."""
    _bootc(host, "upgrade")
    os.sync()


def _peak_memory_bytes(host: BootedHost) -> int:
    """Upgrade and return the most memory that its processes had together.

    Looking costs time: this upgrade is not one of those that are timed.
    """
    peak = 0
    argv = host.command(sys.executable, "-m", "bootcpy", "upgrade")
    with subprocess.Popen(argv, env=_environment(host), stdout=subprocess.DEVNULL) as child:
        while child.poll() is None:
            peak = max(peak, tree_memory_bytes(child.pid))
            time.sleep(_SAMPLE_INTERVAL_S)
    if child.returncode:
        raise SystemExit(child.returncode)
    return peak


def _fetch_and_unpack(registry: FaultyRegistry, directory: Path) -> float:
    """Fetch the image's last layer, unpack it, and sync; return the seconds that took."""
    fetched, unpacked = directory / "fetched", directory / "unpacked"
    unpacked.mkdir()
    digest = json.loads(registry.manifest())["layers"][-1]["digest"]
    blob = fetched / digest.removeprefix("sha256:")

    def work() -> None:
        source, target = f"docker://{registry.name}", f"dir:{fetched}"
        subprocess.run(["skopeo", "copy", "--quiet", source, target], check=True)
        subprocess.run(["tar", "-xzf", blob, "-C", unpacked], check=True)
        os.sync()

    taken = seconds(work)
    shutil.rmtree(fetched)
    shutil.rmtree(unpacked)
    return taken
