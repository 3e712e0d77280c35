"""Build the bootable image, and images derived from it: `python -m tools.image build`.

The base is Debian's own image where a registry can be reached. Elsewhere the same is made with
mmdebstrap from where this host's apt gets Debian; no address of that place is kept in it.
"""

import argparse
import json
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bootcpy.errors import BootcpyError, ExitStatus
from tools import apt_sources, containers, steps
from tools.lock import one_at_a_time

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "image"
REFERENCE = "localhost/bootcpy:latest"
CONTAINERFILE = ROOT / "images" / "Containerfile"
SUITE = "trixie"
BASE = f"docker.io/library/debian:{SUITE}"
MADE_BASE = f"localhost/bootcpy-base:{SUITE}"
_REGISTRY = ("registry-1.docker.io", 443)
_REACH_TIMEOUT_S = 3.0
_MB = 1_000_000  # as podman counts
# The kernel with its modules and initramfs is 170 of them, podman and skopeo are 140.
BUDGET_BYTES = 800 * _MB
_LIST = "/etc/apt/sources.list"
# What mmdebstrap leaves of the host it ran on.
_FORGET_HOST = (
    f'rm -rf "$1"/etc/apt/sources.list.d/* "$1"/etc/hostname "$1"/etc/resolv.conf; : > "$1"{_LIST}'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """An image in root's container storage."""

    reference: str
    id: str
    digest: str  # of the manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The image below ours, and the host's files that apt needs to add packages to it."""

    reference: str
    volumes: Mapping[Path, str]


def build(
    reference: str = REFERENCE,
    *,
    containerfile: Path = CONTAINERFILE,
    context: Path = ROOT,
    arguments: Mapping[str, str] | None = None,
    base: str | None = None,
    fresh: bool = False,
) -> BuiltImage:
    """Build an image, by default the project's own, and return it; quick if nothing changed.

    `base` is the image that the build argument BASE names, if not Debian's. With `fresh`,
    nothing of an earlier build is used.

    Raises:
        BootcpyError: the build failed, or there is no way to a base image.
    """
    with one_at_a_time(CACHE / "lock"):  # also so that a second build finds the first one's steps
        before = containers.image_id(reference)
        below = _base(base, fresh=fresh)
        containers.build(
            context,
            containerfile=containerfile,
            reference=reference,
            arguments={"BASE": below.reference, **(arguments or {})},
            volumes=below.volumes,
            cache=not fresh,
        )
        built = find(reference)
        if before is not None and before != built.id:
            containers.remove_image(before)
    return built


def find(reference: str = REFERENCE) -> BuiltImage:
    """Return an image that was built before.

    Raises:
        BootcpyError: it was not.
    """
    found = containers.image_id(reference)
    if found is None:
        raise BootcpyError(f"the image {reference} is not built", hint="nox -s image builds it")
    return BuiltImage(reference=reference, id=found, digest=containers.image_digest(reference))


def _base(named: str | None, *, fresh: bool) -> Base:
    """Return the base image, pulled or made if it is not here."""
    record = CACHE / "base.json"
    lowest = None
    if record.exists() and (named or not fresh):
        lowest = str(json.loads(record.read_text(encoding="utf-8"))["reference"])
    if named is None and (lowest is None or containers.image_id(lowest) is None):
        lowest = _pulled_base() or _made_base()
        CACHE.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps({"reference": lowest}) + "\n", encoding="utf-8")
    reference = named or lowest or BASE
    # The base that is made here knows no mirror, and neither does an image built upon it here.
    made = lowest == MADE_BASE and reference.startswith("localhost/")
    return Base(reference=reference, volumes={_sources_list(): _LIST} if made else {})


def _pulled_base() -> str | None:
    with steps.step(f"Looking for {BASE}"):
        if not _registry_answers():
            steps.say(f"{_REGISTRY[0]} cannot be reached")
            return None
        try:
            containers.pull(BASE)
        except BootcpyError as e:
            steps.say(e.message)
            return None
    return BASE


def _registry_answers() -> bool:
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    address = _REGISTRY
    if proxy:
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
        address = (parts.hostname or "", parts.port or 80)
    try:
        socket.create_connection(address, _REACH_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def _made_base() -> str:
    """Make the base image with mmdebstrap and return its name."""
    CACHE.mkdir(parents=True, exist_ok=True)
    archive = CACHE / "base.tar"
    with steps.step(f"Making Debian {SUITE} with mmdebstrap, from where this host's apt gets it"):
        try:
            steps.run([
                *("mmdebstrap", "--variant=minbase", "--mode=root"),
                f"--customize-hook={_FORGET_HOST}",
                *(SUITE, str(archive), str(_sources_list())),
            ])
            containers.import_tree(archive, reference=MADE_BASE)
        finally:
            archive.unlink(missing_ok=True)
    return MADE_BASE


def _sources_list() -> Path:
    """Return a file with the lines that make apt in the image use what the host uses."""
    lines = apt_sources.of_suite(apt_sources.read_sources(), SUITE)
    path = CACHE / f"{SUITE}.list"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def report_size(reference: str = REFERENCE) -> None:
    """Print the size of an image, and of each of its layers, unpacked.

    Raises:
        BootcpyError: it is larger than the budget, or was not built.
    """
    layers = containers.image_layers(find(reference).reference)
    total_bytes = sum(layer.size_bytes for layer in layers)
    print(f"{reference}: {total_bytes / _MB:.0f} MB in {len(layers)} layers")
    for layer in layers:
        print(f"  {layer.size_bytes / _MB:6.1f} MB  {_short(layer.made_by)}")
    if total_bytes > BUDGET_BYTES:
        raise BootcpyError(
            f"{reference} has {total_bytes / _MB:.0f} MB, more than {BUDGET_BYTES / _MB:.0f}",
            hint="look at the layers above; raise BUDGET_BYTES only with a reason",
        )


def _short(made_by: str) -> str:
    text = " ".join(made_by.replace("/bin/sh -c", "").replace("#(nop)", "").split())
    return text if len(text) <= 72 else f"{text[:71]}…"  # noqa: PLR2004 - fits a terminal


def main() -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.image", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="build an image and report its size")
    building.add_argument("--tag", default=REFERENCE, help="its name (default: %(default)s)")
    building.add_argument("--file", type=Path, default=CONTAINERFILE, help="the Containerfile")
    building.add_argument("--context", type=Path, default=ROOT, help="what COPY copies from")
    building.add_argument("--base", help="the image to build on, instead of Debian's")
    building.add_argument(
        "--build-arg", action="append", default=[], metavar="NAME=VALUE", help="repeatable"
    )
    building.add_argument("--fresh", action="store_true", help="use nothing of earlier builds")
    sizing = commands.add_parser("size", help="report the size of an image")
    sizing.add_argument("--tag", default=REFERENCE, help="its name (default: %(default)s)")
    options = parser.parse_args()
    try:
        if options.command == "build":
            arguments = dict(text.split("=", 1) for text in options.build_arg)
            with steps.step(f"Building {options.tag} from {options.file}"):
                build(
                    options.tag,
                    containerfile=options.file,
                    context=options.context,
                    arguments=arguments,
                    base=options.base,
                    fresh=options.fresh,
                )
        report_size(options.tag)
    except BootcpyError as e:
        return steps.report(e)
    return ExitStatus.OK


if __name__ == "__main__":
    sys.exit(main())
