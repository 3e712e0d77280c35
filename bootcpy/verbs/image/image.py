"""`bootc image list` and `bootc image copy-to-storage`: the images that the repository holds."""

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bootcpy import paths
from bootcpy.errors import BootcpyError, EnvironmentMismatchError
from bootcpy.model.base.progress import Progress
from bootcpy.model.image import oci_archive
from bootcpy.model.image.oci_archive import FileBlob
from bootcpy.model.image.reference import ImageReference, Transport
from bootcpy.system.host import environment
from bootcpy.system.process.run import run
from bootcpy.verbs.base.rights import require_rights

DEFAULT_TARGET = "localhost/bootc"
_WORK_PARENT = Path("/var/tmp")  # noqa: S108 - on disk, as an image is too large for /tmp


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """An image that was copied: the whole target, and the digest it has there."""

    target: str
    digest: str


def list_images(*, host_only: bool) -> tuple[str, ...]:
    """Return the images that the booted system's repository holds.

    In a container, unless `host_only`, that is what the image itself binds, as with bootc;
    bound images are not supported yet, so there is none.

    Raises:
        EnvironmentMismatchError: the system was not booted through libostree.
        BootcpyError: the repository cannot be read.
    """
    if environment.is_in_container() and not host_only:
        return ()
    _require_booted("Listing host images requires a booted bootc system")
    from bootcpy.ostree.base import repo  # noqa: PLC0415 - only a booted host needs libostree
    from bootcpy.ostree.image import export  # noqa: PLC0415 - only a booted host needs libostree

    return export.list_images(repo.open_repo(paths.SYSROOT / paths.REPO))


def copy_to_storage(
    source: ImageReference | None,
    target: str,
    progress: Progress,
    announce: Callable[[str], None],
) -> Copied:
    """Copy `source`, or the booted image, into podman's storage as `target`.

    Its layers are packed anew, so its digest is another one than in the registry.

    Raises:
        EnvironmentMismatchError: the system was not booted through libostree.
        PrivilegeError: a right is missing.
        ImageUnavailableError: the repository does not hold the image.
        ToolFailedError: skopeo cannot write to the storage.
    """
    _require_booted("Copying an image out of the repository requires a booted bootc system")
    require_rights()
    from bootcpy.ostree.base import repo  # noqa: PLC0415 - as above
    from bootcpy.ostree.host import deployments  # noqa: PLC0415 - as above
    from bootcpy.ostree.image import export  # noqa: PLC0415 - as above

    if source is None:
        booted = deployments.read_boot_state().booted
        if booted is None or booted.origin.image is None:
            raise BootcpyError(
                "the booted deployment follows no image", hint="name one with --source"
            )
        source = booted.origin.image.image
    destination = ImageReference(Transport.CONTAINERS_STORAGE, target)
    announce(f"Copying local image {source} to {destination} ...")
    path = paths.SYSROOT / paths.REPO
    opened = repo.open_repo(path)
    stored = export.find_stored(opened, source)
    with tempfile.TemporaryDirectory(prefix="bootc-copy-", dir=_WORK_PARENT) as name:
        layout = _Layout(Path(name))
        with progress.step("Packing layers"):
            layers = [
                layout.add(partial(export.write_tar, opened, path, layer))
                for layer in stored.layers
            ]
        config = layout.add_text(oci_archive.renewed_config(stored.config_text, layers))
        manifest = layout.add_text(oci_archive.manifest_of(config, layers))
        layout.finish(manifest)
        with progress.step("Storing the image"):
            run("skopeo", "copy", "--quiet", f"oci:{name}", str(destination))
    return Copied(target=str(destination), digest=manifest.digest)


def _require_booted(message: str) -> None:
    if not environment.is_ostree_host():
        raise EnvironmentMismatchError(message, hint="run it on a host that bootc installed")


class _Layout:
    """An OCI layout that is being written."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._blobs = root / "blobs/sha256"
        self._blobs.mkdir(parents=True)

    def add(self, write: partial[None]) -> FileBlob:
        """Store what `write` writes into the file it is called with."""
        temporary = self._root / "blob"
        with temporary.open("w+b") as file:
            write(file)
            size_bytes = file.tell()
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        temporary.replace(self._blobs / digest)
        return FileBlob(digest=f"sha256:{digest}", size_bytes=size_bytes)

    def add_text(self, text: str) -> FileBlob:
        """Store a document."""
        content = text.encode()
        digest = hashlib.sha256(content).hexdigest()
        (self._blobs / digest).write_bytes(content)
        return FileBlob(digest=f"sha256:{digest}", size_bytes=len(content))

    def finish(self, manifest: FileBlob) -> None:
        """Name the image that the layout holds."""
        (self._root / "index.json").write_text(oci_archive.index_of(manifest), encoding="utf-8")
        (self._root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")
