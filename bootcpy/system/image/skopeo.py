"""Reading images through `skopeo experimental-image-proxy`: every transport, one protocol.

The proxy speaks JSON packets over a SOCK_SEQPACKET socket and hands data over in
pipes. Two of its habits shape this module: it keeps a pipe's write end open until
FinishPipe is asked for, so the end of the data never comes by itself; and a digest
that does not match is reported only there, after all bytes were delivered. What was
read is therefore to be believed only when `finished()` has returned.
"""

import array
import json
import os
import socket
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bootcpy.errors import BootcpyError, ImageContentError, ImageUnavailableError
from bootcpy.model.image.acceptance import Acceptance
from bootcpy.model.image.failures import explain_open_failure
from bootcpy.model.image.oci import Descriptor, ImageConfig, Manifest
from bootcpy.model.image.oci_fields import MOST_CONFIG_CHARACTERS
from bootcpy.model.image.patience import ANSWER_FACTOR, explain_stall
from bootcpy.model.image.reference import (
    ContainerPolicy,
    ImageReference,
    Insecure,
    Signature,
    Transport,
)
from bootcpy.paths import ROOT_AUTH_FILES
from bootcpy.system.image.policy import (
    describe_requirements,
    find_policy_file,
    read_acceptance,
    require_policy,
)
from bootcpy.system.process.run import end, spawn, tail
from bootcpy.system.process.stalls import Watch, read_stall_timeout

_PACKET_BYTES: Final = 1 << 20  # an inline GetLayerInfo may exceed the nominal 32 KiB
_MAX_FDS: Final = 2
_PATIENCE_S: Final = 2.0  # how long a proxy that was told to end may take
# Nothing is read beyond what the larger of the two may have; the models have their limits.
_LARGEST_DOCUMENT_BYTES: Final = MOST_CONFIG_CHARACTERS
# The first version that asks policy.json before it opens an image.
_ENFORCES_POLICY: Final = (0, 2, 6)
_HAS_LAYER_INFO: Final = (0, 2, 5)
_HAS_PIPED_LAYER_INFO: Final = (0, 2, 7)
_SUPPORTED: Final = ((0, 2, 3), (0, 3, 0))  # from the first up to, not including, the second
# Transports whose blobs are not the ones the manifest names.
_OWN_LAYER_INFO: Final = {Transport.CONTAINERS_STORAGE, Transport.DOCKER_DAEMON}


class ProxyRequestError(Exception):
    """The proxy answered a request with an error; the text is its own."""


class ProxyStalledError(Exception):
    """The proxy has not answered a request for as long as it may take."""


@dataclass(frozen=True, slots=True)
class _Reply:
    value: Any
    pipe_id: int
    fds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BlobStream:
    """A blob that is being delivered: the read end of its pipe, which the caller closes."""

    descriptor: Descriptor
    fd: int
    pipe_id: int


class Proxy:
    """A running image proxy; requests are strictly one after another."""

    def __init__(self, options: Sequence[str]) -> None:
        """Start skopeo with `options` and shake hands.

        Raises:
            BootcpyError: skopeo is missing or speaks a protocol this program does not know.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _PACKET_BYTES)
        self._socket = ours
        self.stall_timeout_s: int | None = None  # how long nothing may come of a layer
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        try:
            self._process = spawn(
                ["skopeo", "experimental-image-proxy", *options],
                stdin=theirs.fileno(),
                stderr=self._stderr.fileno(),
            )
        finally:
            theirs.close()
        try:
            self.version = _parse_version(self.request("Initialize").value)
        except ProxyRequestError as e:
            self.close()
            raise BootcpyError(
                f"skopeo's image proxy does not start: {e}",
                hint="see what `skopeo experimental-image-proxy --help` says",
            ) from e
        low, high = _SUPPORTED
        if not low <= self.version < high:
            self.close()
            raise BootcpyError(
                f"skopeo speaks image proxy protocol {'.'.join(map(str, self.version))}, "
                f"which this program does not know",
                hint="install skopeo 1.6 or newer",
            )

    @property
    def answer_timeout_s(self) -> int | None:
        """How long an answer may take; None for ever."""
        return None if self.stall_timeout_s is None else self.stall_timeout_s * ANSWER_FACTOR

    def close(self) -> None:
        """End the proxy and wait for it."""
        self._socket.close()  # it exits when the other end is gone, unless the network stalls
        end(self._process, patience_s=_PATIENCE_S)
        self._stderr.close()

    def fileno(self) -> int:
        """Return the socket's descriptor, for select."""
        return self._socket.fileno()

    def send(self, method: str, *args: object) -> None:
        """Send a request; the reply is taken with `receive()`."""
        packet = json.dumps({"method": method, "args": list(args)}).encode()
        try:
            self._socket.send(packet)
        except OSError as e:
            raise ProxyRequestError(self._last_words(str(e))) from e

    def receive(self) -> _Reply:
        """Take the reply to the request sent last.

        Raises:
            ProxyRequestError: the proxy reports an error, or is gone.
            ProxyStalledError: it does not answer.
        """
        Watch(self.answer_timeout_s).wait_for(self._socket, ProxyStalledError)
        descriptors = array.array("i")
        try:
            packet, ancillary, flags, _ = self._socket.recvmsg(
                _PACKET_BYTES,
                socket.CMSG_SPACE(_MAX_FDS * descriptors.itemsize),
                socket.MSG_CMSG_CLOEXEC,
            )
        except OSError as e:  # reset: it died with a request of ours unread
            raise ProxyRequestError(self._last_words(str(e))) from e
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                whole = len(payload) - len(payload) % descriptors.itemsize
                descriptors.frombytes(payload[:whole])
        if not packet:
            raise ProxyRequestError(self._last_words("it ended unexpectedly"))
        if flags & socket.MSG_TRUNC:
            raise ProxyRequestError("its answer is longer than 1 MiB")
        reply = json.loads(packet)
        if not reply["success"]:
            for fd in descriptors:
                os.close(fd)
            raise ProxyRequestError(reply["error"])
        return _Reply(reply["value"], reply["pipeid"], tuple(descriptors))

    def request(self, method: str, *args: object) -> _Reply:
        """Send a request and take its reply."""
        self.send(method, *args)
        return self.receive()

    def fetch(self, method: str, *args: object) -> tuple[Any, bytes]:
        """Make a request that answers with a small document in a pipe; return value and bytes."""
        reply = self.request(method, *args)
        (fd,) = reply.fds
        self.send("FinishPipe", reply.pipe_id)  # else the data would never end
        with open(fd, "rb") as pipe:  # noqa: PTH123 - a descriptor
            document = pipe.read(_LARGEST_DOCUMENT_BYTES + 1)
        if len(document) > _LARGEST_DOCUMENT_BYTES:
            raise ImageContentError(
                f"the image's manifest or configuration is larger than {_LARGEST_DOCUMENT_BYTES:,} "
                "bytes"
            )
        self.receive()
        return reply.value, document

    def _last_words(self, otherwise: str) -> str:
        """Return the end of what skopeo wrote to its stderr, or `otherwise`."""
        end(self._process, patience_s=_PATIENCE_S)
        self._stderr.seek(0)
        return tail(self._stderr.read().decode(errors="replace")) or otherwise


def _parse_version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("-", maxsplit=1)[0].split("."))


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


def find_auth_file() -> Path | None:
    """Return the credentials file bootc would use, None for anonymous access."""
    if os.geteuid() == 0:
        candidates: Sequence[Path] = ROOT_AUTH_FILES
    else:
        runtime = os.environ.get("XDG_RUNTIME_DIR")
        config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        candidates = [Path(base, "ostree/auth.json") for base in (runtime, config) if base]
    return next((path for path in candidates if path.exists()), None)


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
    proxy = Proxy(options)
    try:
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
    finally:
        proxy.close()
