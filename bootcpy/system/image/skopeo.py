"""Images that skopeo holds open: their documents, and their layers on request."""

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from bootcpy.errors import ImageContentError, ImageUnavailableError
from bootcpy.model.image.acceptance import Acceptance
from bootcpy.model.image.failures import explain_open_failure
from bootcpy.model.image.oci import Descriptor, ImageConfig, Manifest
from bootcpy.model.image.patience import explain_stall
from bootcpy.model.image.reference import (
    ContainerPolicy,
    ImageReference,
    Insecure,
    Signature,
    Transport,
)
from bootcpy.system.image.credentials import find_auth_file
from bootcpy.system.image.policy import (
    describe_requirements,
    find_policy_file,
    read_acceptance,
    require_policy,
)
from bootcpy.system.image.proxy import Proxy, ProxyRequestError, ProxyStalledError, running_proxy
from bootcpy.system.process.stalls import read_stall_timeout

# The first version that asks policy.json before it opens an image.
_ENFORCES_POLICY: Final = (0, 2, 6)
_HAS_LAYER_INFO: Final = (0, 2, 5)
_HAS_PIPED_LAYER_INFO: Final = (0, 2, 7)
# Transports whose blobs are not the ones the manifest names.
_OWN_LAYER_INFO: Final = {Transport.CONTAINERS_STORAGE, Transport.DOCKER_DAEMON}


@dataclass(slots=True)
class BlobStream:
    """A blob that is being delivered: the read end of its pipe, for whoever closes it first."""

    descriptor: Descriptor
    fd: int
    pipe_id: int

    def close(self) -> None:
        """Close our end; harmless when it is closed already."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class OpenedImage:
    """An image that skopeo holds open: its documents, and its layers on request.

    Attributes:
        reference: what was opened.
        manifest_digest: digest of the original manifest bytes, `sha256:...`.
        manifest, manifest_text: the manifest in OCI form.
        config, config_text: the full image configuration.
        obeys_policy: whether skopeo asked policy.json before it opened the image.
        accepted: what of policy.json accepted it, None if that is not known.
        blobs: the layers as this source delivers them, bottom first; for
            containers-storage they differ from the manifest's (uncompressed).
    """

    def __init__(self, proxy: Proxy, reference: ImageReference) -> None:
        """Open `reference` and read its documents.

        Raises:
            ProxyRequestError: the image cannot be opened.
            ProxyStalledError: the source does not answer.
            ImageContentError: its documents are malformed.
        """
        self.reference = reference
        self.stall_timeout_s = proxy.stall_timeout_s
        self.answer_timeout_s = proxy.answer_timeout_s
        self.obeys_policy = proxy.version >= _ENFORCES_POLICY
        self.accepted: Acceptance | None = None
        self._proxy = proxy
        self._id = proxy.request("OpenImage", _proxy_name(reference)).value
        digest, manifest = proxy.fetch("GetManifest", self._id)
        self.manifest_digest: str = digest
        self.manifest_text = _decoded(manifest, "manifest")
        self.manifest = Manifest.parse(self.manifest_text)
        self.config_text = _decoded(proxy.fetch("GetFullConfig", self._id)[1], "configuration")
        self.config = ImageConfig.parse(self.config_text)
        self.blobs = self._read_blobs()

    def _read_blobs(self) -> tuple[Descriptor, ...]:
        if self.reference.transport not in _OWN_LAYER_INFO:
            return self.manifest.layers
        if self._proxy.version >= _HAS_PIPED_LAYER_INFO:
            infos = json.loads(self._proxy.fetch("GetLayerInfoPiped", self._id)[1])
        elif self._proxy.version >= _HAS_LAYER_INFO:
            infos = self._proxy.request("GetLayerInfo", self._id).value
        else:
            raise ProxyRequestError(
                f"this skopeo is too old to read {self.reference.transport} images"
            )
        return tuple(
            Descriptor(
                media_type=info["media_type"], digest=info["digest"], size_bytes=info["size"]
            )
            for info in infos
        )

    def fileno(self) -> int:
        """Return the descriptor that turns readable when an asked-for answer is there."""
        return self._proxy.fileno()

    def start_blob(self, descriptor: Descriptor) -> BlobStream:
        """Ask for a blob; its bytes begin to flow into the returned pipe.

        Raises:
            ProxyRequestError: the source refuses.
            ProxyStalledError: it does not answer.
        """
        reply = self._proxy.request("GetBlob", self._id, descriptor.digest, descriptor.size_bytes)
        return BlobStream(descriptor, reply.fds[0], reply.pipe_id)

    def ask_to_finish(self, blob: BlobStream) -> None:
        """Ask for the end of a blob; `finished()` takes the answer.

        The proxy answers nothing else until the blob has been read to its end.
        """
        self._proxy.send("FinishPipe", blob.pipe_id)

    def finished(self) -> None:
        """Take the answer to `ask_to_finish()`: all bytes were sent and match the digest.

        Raises:
            ProxyRequestError: they do not, or reading from the source failed.
        """
        self._proxy.receive()


def _decoded(document: bytes, what: str) -> str:
    try:
        return document.decode()
    except UnicodeDecodeError as e:
        raise ImageContentError(f"the image's {what} is not UTF-8 text") from e


def _proxy_name(reference: ImageReference) -> str:
    if reference.transport is Transport.CONTAINERS_STORAGE:
        return f"{reference.transport.prefix}{reference.name.removeprefix('sha256:')}"
    return str(reference)


def _read_acceptance(reference: ImageReference) -> Acceptance | None:
    try:
        return read_acceptance(reference)
    except ImageUnavailableError:
        return None  # skopeo says why, if it minds


@contextmanager
def opened(
    reference: ImageReference, *, signature: Signature = Insecure()
) -> Generator[OpenedImage]:
    """Open an image for the length of the context.

    With `ContainerPolicy` the image must satisfy a policy.json that demands
    something, and skopeo must be one that enforces it.

    Raises:
        StalledError: a registry does not answer.
        ImageUnavailableError: it cannot be opened; the message says why and names
            the registry and the credentials or policy file that were used.
        ImageContentError: its manifest or configuration is malformed.
    """
    stall_timeout_s = read_stall_timeout()
    auth_file = find_auth_file()
    enforce = isinstance(signature, ContainerPolicy)
    if enforce:
        require_policy(reference)
    options = ["--authfile", str(auth_file)] if auth_file else ["--no-creds"]
    if policy_file := find_policy_file():  # skopeo itself looks for it in other places
        options += ["--policy", str(policy_file)]
    before = _read_acceptance(reference)
    with running_proxy(options) as proxy:
        if enforce and proxy.version < _ENFORCES_POLICY:
            raise ImageUnavailableError(
                f"this skopeo does not enforce policy.json, so {reference} cannot be verified",
                hint="install skopeo 1.13 or newer",
            )
        # Other sources are local: nothing comes while skopeo unpacks an archive, or copies a layer.
        if reference.transport is Transport.REGISTRY:
            proxy.stall_timeout_s = stall_timeout_s
        try:
            image = OpenedImage(proxy, reference.for_pull())
            if image.obeys_policy and before == _read_acceptance(reference):
                image.accepted = before  # else nobody can say by which of them it was judged
        except ProxyStalledError as e:
            raise explain_stall(reference, proxy.answer_timeout_s or 0) from e
        except ProxyRequestError as e:
            raise explain_open_failure(
                str(e),
                reference,
                auth_file=auth_file,
                policy_file=policy_file,
                requirement=describe_requirements(reference),
            ) from e
        yield image
