"""Reading an image through before anything is written: every layer, every digest.

For images that lie on a local disk this costs seconds and keeps a disk from being
wiped for an image that turns out to be truncated. An image in a registry is checked
while it is imported, because reading it twice means fetching it twice.
"""

from pathlib import Path

from bootcpy.errors import BootcpyError, ImageContentError
from bootcpy.model.base.listing import shown_few
from bootcpy.model.base.progress import Progress
from bootcpy.model.boot.bootable import require_kernel_version
from bootcpy.model.image.failures import explain_blob_failure
from bootcpy.model.image.oci import Descriptor, Layer, classify_layers, require_diff_id
from bootcpy.model.image.reference import Transport
from bootcpy.model.layers.dirtree import DirtreeWriter
from bootcpy.model.layers.kernels import boot_files, kernel_versions
from bootcpy.model.layers.limits import BOOT_PATHS, too_many
from bootcpy.model.layers.records import CHECKSUM_BYTES
from bootcpy.model.layers.tar_headers import TarMember
from bootcpy.system.image.proxy import ProxyRequestError
from bootcpy.system.image.skopeo import OpenedImage
from bootcpy.system.layers.filter import Attributes, LayerSummary, build_layer, read_layer
from bootcpy.system.layers.spilled_sort import SpilledSort
from bootcpy.system.layers.tar import ByteCounter
from bootcpy.system.layers.tar_reader import TarReader
from bootcpy.system.process.child import forked

_SCRATCH = Path("/var/tmp")  # noqa: S108 - on disk; its files have no name
_NO_CHECKSUM = bytes(CHECKSUM_BYTES)

_LOCAL = {Transport.OCI, Transport.OCI_ARCHIVE, Transport.DOCKER_ARCHIVE, Transport.DIR}


def check_local_image(image: OpenedImage, progress: Progress) -> int:
    """Refuse an image on a local disk that is corrupt or brings nothing to boot with.

    Return how many bytes its files have. Images from anywhere else are left to the import;
    0 then.

    Raises:
        ImageContentError: a layer is not what the image says, or has what cannot be in
            an image, or there is not exactly one kernel with an initramfs.
        ImageUnavailableError: a layer cannot be read.
    """
    plan = classify_layers(image.manifest, image.config)
    if image.reference.transport not in _LOCAL or plan.commit:
        return 0
    found: list[LayerSummary] = []
    with progress.step(f"Checking the {len(plan.derived)} layers of {image.reference}"):
        for layer, blob in zip(plan.derived, image.blobs, strict=True):
            found.append(_check_layer(image, layer, blob))
    files = boot_files([layer.boot_paths for layer in found])
    versions = kernel_versions(files)
    if len(versions) != 1:
        raise ImageContentError(
            f"{image.reference} has more than one kernel: {shown_few(versions)}"
            if versions
            else f"{image.reference} has no kernel in /usr/lib/modules",
            hint="an image boots exactly one kernel; see bootc container prepare",
        )
    require_kernel_version(versions[0])
    if f"usr/lib/modules/{versions[0]}/initramfs.img" not in files:
        raise ImageContentError(
            f"{image.reference} has no initramfs for its kernel {versions[0]}",
            hint="build the image with `RUN bootc container prepare` as its last step",
        )
    return sum(layer.size_bytes for layer in found)


def _check_layer(image: OpenedImage, layer: Layer, descriptor: Descriptor) -> LayerSummary:
    try:
        blob = image.start_blob(descriptor)
        with forked(lambda: _read(blob.fd)) as child:
            blob.close()
            image.ask_to_finish(blob)
            problem: BootcpyError | None = None
            summary = LayerSummary()
            try:
                summary = child.result()
            except BootcpyError as e:
                problem = e
            try:
                image.finished()
            except ProxyRequestError:
                if problem is None:
                    raise
        if problem is not None:
            raise ImageContentError(
                f"layer {layer.blob.digest} of {image.reference}: {problem.message}",
                hint=problem.hint,
            ) from problem
    except ProxyRequestError as e:
        raise explain_blob_failure(str(e), image.reference, layer.blob.digest) from e
    require_diff_id(summary.diff_id, layer)
    return summary


def _read(blob_fd: int) -> LayerSummary:
    with SpilledSort(_SCRATCH) as records:
        summary = read_layer(blob_fd, _Nowhere(), records, ByteCounter(), allow_nonusr=True)
        build_layer(records, _Nowhere(), _SCRATCH, hard_links=bool(summary.hard_links))
    if len(summary.boot_paths) > BOOT_PATHS:
        raise too_many("files in the directories of kernels", BOOT_PATHS)
    return summary


class _Nowhere:
    """Keeps nothing of a layer, which is read to be refused if it has to be."""

    def directory(self, _attributes: Attributes) -> bytes:
        return _NO_CHECKSUM

    def regular(self, _attributes: Attributes, _member: TarMember, _tar: TarReader) -> bytes:
        return _NO_CHECKSUM

    def symlink(self, _attributes: Attributes, _target: str) -> bytes:
        return _NO_CHECKSUM

    def new_dirtree(self) -> DirtreeWriter:
        return _NoDirtree()

    def write_dirtree(self, _dirtree: DirtreeWriter) -> bytes:
        return _NO_CHECKSUM

    def implicit_metadata(self, _uid: int, _gid: int) -> bytes:
        return _NO_CHECKSUM


class _NoDirtree(DirtreeWriter):
    """A directory object that stays empty."""

    def add_file(self, _name: bytes, _checksum: bytes) -> None:
        pass

    def add_directory(self, _name: bytes, _contents: bytes, _meta: bytes) -> None:
        pass
