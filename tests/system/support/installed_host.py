"""A host that seems booted, whose first deployment our own code installed from an OCI layout."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bootcpy.model.base.progress import Silent
from bootcpy.model.image.reference import ImageReference, SignedImageReference
from bootcpy.ostree.host import sysroot
from bootcpy.ostree.image import importer
from bootcpy.system.image import skopeo
from tests.system.support.booted_host import BootedHost

# What two versions of an image bring as kernel arguments.
KARGS_1 = {"usr/lib/bootc/kargs.d/10-a.toml": 'kargs = ["a=1", "shared"]\n'}
KARGS_2 = {"usr/lib/bootc/kargs.d/10-a.toml": 'kargs = ["a=2", "shared"]\n'}


@contextmanager
def installed(
    directory: Path,
    layout: Path,
    *,
    kargs: Sequence[str],
    origin: SignedImageReference | None = None,
) -> Generator[BootedHost]:
    """Yield a host that runs the image in `layout`; its root is in `directory`.

    It follows that layout, or `origin` if there is one.
    """
    host = BootedHost.make(directory)
    host.fake_program("systemctl")
    reference = ImageReference.parse(f"oci:{layout}")
    origin = origin or SignedImageReference(reference)
    with skopeo.opened(reference) as image:
        commit = importer.pull(
            host.root / "ostree/repo", image, record_as=origin.image, progress=Silent()
        )
    sysroot.deploy(host.root, commit, stateroot="default", origin=origin, kargs=kargs)
    host.boot()
    yield host
    host.release()


def answer(host: BootedHost, *words: str) -> list[str]:
    """Run bootc, which must succeed, and return the lines of its answer."""
    finished = host.bootc(*words)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()


def refusal(host: BootedHost, *words: str, hint: str) -> str:
    """Run bootc, which must refuse with `hint` and leave the host as it is; return its message."""
    before = _without_updates(host.status())
    finished = host.bootc(*words)
    assert finished.returncode == 1, finished.stdout
    assert _without_updates(host.status()) == before
    assert "error: " in finished.stderr, finished.stderr
    lines = finished.stderr.splitlines()
    message, advice = [line for line in lines if line.startswith(("error: ", "hint: "))]
    assert advice == f"hint: {hint}"
    return message.removeprefix("error: ")


def _without_updates(document: dict[str, Any]) -> dict[str, Any]:
    """Drop what only says that an update was seen."""
    for entry in document["status"].values():
        if isinstance(entry, dict):
            entry.pop("cachedUpdate", None)
    return document


def digests(host: BootedHost) -> dict[str, str | None]:
    """Return the digest of the image in each slot."""
    status = host.status()["status"]
    return {
        slot: status[slot] and status[slot]["image"]["imageDigest"]
        for slot in ("staged", "booted", "rollback")
    }
