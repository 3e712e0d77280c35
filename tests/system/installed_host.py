"""A host that seems booted, whose first deployment our own code installed from an OCI layout."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bootcpy.model.image import ImageReference, SignedImageReference
from bootcpy.model.progress import Silent
from bootcpy.ostree import importer, sysroot
from bootcpy.system import skopeo
from tests.system.booted_host import BootedHost


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
