"""Names of images: transports, references, and the signature-qualified form origins hold.

The grammar is that of ostree-ext's `ImageReference` and `OstreeImageReference`, and
the escaping that of the refs it writes, so that bootc and rpm-ostree recognise ours.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from bootcpy.errors import ReferenceFormatError

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NOT_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_REF_HINT = "delete the ref; it was not written by an importer of images"
_TRANSPORT_HINT = "write it as TRANSPORT:NAME, for example docker://quay.io/example/os:latest"


class Transport(StrEnum):
    """Where an image comes from; the values are those of the host document."""

    REGISTRY = "registry"
    OCI = "oci"
    OCI_ARCHIVE = "oci-archive"
    DOCKER_ARCHIVE = "docker-archive"
    DOCKER_DAEMON = "docker-daemon"
    CONTAINERS_STORAGE = "containers-storage"
    DIR = "dir"

    @classmethod
    def parse(cls, word: str) -> Self:
        """Return the transport named by `word`, with or without its colon.

        Raises:
            ReferenceFormatError: there is no such transport.
        """
        bare = word.removesuffix("//").removesuffix(":")
        if bare == "docker":
            bare = "registry"
        try:
            return cls(bare)
        except ValueError:
            raise ReferenceFormatError(
                f"unknown transport {word!r}",
                hint=f"use one of: {', '.join(cls)}, docker",
            ) from None

    @property
    def is_file(self) -> bool:
        """Whether the name begins with a path of the file system."""
        return self in {self.OCI, self.OCI_ARCHIVE, self.DOCKER_ARCHIVE, self.DIR}

    @property
    def prefix(self) -> str:
        """What stands before the name when a reference is written out."""
        return "docker://" if self is Transport.REGISTRY else f"{self.value}:"


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image by transport and name; the name's form is the transport's own affair."""

    transport: Transport
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `docker://NAME`, `registry:NAME`, `oci:PATH[:TAG]` and so on.

        Raises:
            ReferenceFormatError: no colon, an unknown transport, or an empty name.
        """
        word, colon, name = text.partition(":")
        if not colon:
            raise ReferenceFormatError(
                f"image reference {text!r} names no transport", hint=_TRANSPORT_HINT
            )
        transport = Transport.parse(word)
        if word == "docker":
            if not name.startswith("//"):
                raise ReferenceFormatError(
                    f"image reference {text!r} lacks // after docker:", hint=_TRANSPORT_HINT
                )
            name = name.removeprefix("//")
        if not name:
            raise ReferenceFormatError(
                f"image reference {text!r} has an empty name", hint=_TRANSPORT_HINT
            )
        require_one_line(text)
        return cls(transport, name)

    def __str__(self) -> str:
        """Write the reference as skopeo and the refs in the repository spell it."""
        return f"{self.transport.prefix}{self.name}"

    @property
    def digest(self) -> str | None:
        """The manifest digest the name is pinned to, if it is."""
        _, at, digest = self.name.rpartition("@")
        return digest if at and _DIGEST.fullmatch(digest) else None

    @property
    def repository(self) -> str:
        """Registry and path without tag and digest; a short name is of docker.io."""
        name = _without_tag(self.name.partition("@")[0])
        host, slash, _ = name.partition("/")
        if slash and (set(host) & {".", ":"} or host == "localhost"):
            return name
        return f"docker.io/{name}" if slash else f"docker.io/library/{name}"

    @property
    def tag(self) -> str:
        """The tag of a name in a registry; `latest` without one."""
        name = self.name.partition("@")[0]
        return name.removeprefix(_without_tag(name)).removeprefix(":") or "latest"

    def seen_from(self, directory: Path) -> "ImageReference":
        """Make a relative path absolute: whoever reads an origin stands elsewhere.

        Raises:
            ReferenceFormatError: `directory` has a name that an origin cannot hold.
        """
        if not self.transport.is_file or self.name.startswith("/"):
            return self
        absolute = str(directory / self.name)
        require_one_line(absolute)
        return ImageReference(self.transport, absolute)

    def for_pull(self) -> "ImageReference":
        """Drop the tag of a registry name that has a digest too: skopeo refuses both."""
        if self.transport is not Transport.REGISTRY or self.digest is None:
            return self
        name, _, digest = self.name.rpartition("@")
        return ImageReference(self.transport, f"{_without_tag(name)}@{digest}")

    def with_digest(self, digest: str) -> "ImageReference":
        """Pin the name to `digest` in place of any digest it has."""
        name = self.name.rpartition("@")[0] if self.digest else self.name
        return ImageReference(self.transport, f"{name}@{digest}")

    def with_tag(self, tag: str) -> "ImageReference":
        """Name the same repository's `tag`, without a digest (bootc `upgrade --tag`)."""
        name = self.name.partition("@")[0]
        if self.transport is Transport.REGISTRY:
            return ImageReference(self.transport, f"{_without_tag(name)}:{tag}")
        head, colon, _ = name.rpartition(":")
        return ImageReference(self.transport, f"{head if colon else name}:{tag}")


def require_one_line(text: str) -> None:
    """Refuse a reference that an origin file, a log or a terminal would read as something else.

    Raises:
        ReferenceFormatError: it has control characters, or bytes that are no text.
    """
    if _NOT_A_LINE.search(text):
        raise ReferenceFormatError(
            f"image reference {text!r} has control characters, or is not UTF-8",
            hint="remove them from the name",
        )


def _without_tag(name: str) -> str:
    """Cut the tag off a registry name; a colon before the last slash is a port."""
    head, colon, last = name.rpartition(":")
    return head if colon and "/" not in last else name


@dataclass(frozen=True, slots=True)
class Insecure:
    """No signature is asked for beyond what policy.json says."""


@dataclass(frozen=True, slots=True)
class ContainerPolicy:
    """policy.json must demand something of the image."""


@dataclass(frozen=True, slots=True)
class OstreeRemote:
    """The embedded ostree commit must carry a signature of the remote `name`."""

    name: str


Signature = Insecure | ContainerPolicy | OstreeRemote


@dataclass(frozen=True, slots=True)
class SignedImageReference:
    """An image reference with the signature it needs: what an origin file holds."""

    image: ImageReference
    signature: Signature = Insecure()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the forms `ostree-unverified-registry:NAME` and its five siblings.

        Raises:
            ReferenceFormatError: the first word is none of them, or the rest does not parse.
        """
        word, _, rest = text.partition(":")
        match word:
            case "ostree-image-signed":
                return cls(ImageReference.parse(rest), ContainerPolicy())
            case "ostree-unverified-image":
                return cls(ImageReference.parse(rest), Insecure())
            case "ostree-unverified-registry":
                return cls(ImageReference.parse(f"registry:{rest}"), Insecure())
            case "ostree-remote-image":
                remote, _, image = rest.partition(":")
                require_one_line(remote)
                return cls(ImageReference.parse(image), OstreeRemote(remote))
            case "ostree-remote-registry":
                remote, _, image = rest.partition(":")
                require_one_line(remote)
                return cls(ImageReference.parse(f"registry:{image}"), OstreeRemote(remote))
            case _:
                raise ReferenceFormatError(
                    f"{text!r} is not a signature-qualified image reference",
                    hint="it begins with ostree-unverified-registry:, ostree-unverified-image:, "
                    "ostree-image-signed: or ostree-remote-image:REMOTE:",
                )

    def __str__(self) -> str:
        """Write it exactly as ostree-ext does, so that origins compare equal."""
        match self.signature:
            case Insecure():
                if self.image.transport is Transport.REGISTRY:
                    return f"ostree-unverified-registry:{self.image.name}"
                return f"ostree-unverified-image:{self.image}"
            case ContainerPolicy():
                return f"ostree-image-signed:{self.image}"
            case OstreeRemote(name):
                return f"ostree-remote-image:{name}:{self.image}"


def escape_ref(text: str, *, slashes: bool = False) -> str:
    """Turn any non-empty text into part of an ostree ref name, as ostree-ext does.

    With `slashes` these are escaped as well, which ostree-ext never writes and always reads:
    a name of one piece, which is no directory of another name's and has none in its way.

    Raises:
        ReferenceFormatError: the text is empty or holds a NUL.
    """
    if not text or "\0" in text:
        raise ReferenceFormatError(
            f"cannot name a ref after {text!r}", hint="use a name that is not empty and has no NUL"
        )
    out: list[str] = []
    after_alphanumeric = False
    for index, char in enumerate(text):
        alphanumeric = char.isascii() and char.isalnum()
        inner_slash = char == "/" and after_alphanumeric and index < len(text) - 1
        if alphanumeric or char == "-" or (inner_slash and not slashes):
            out.append(char)
        elif char == "_":
            out.append("__")
        else:
            out.append(f"_{ord(char):02X}_")
        after_alphanumeric = alphanumeric
    return "".join(out)


def unescape_ref(text: str) -> str:
    """Undo `escape_ref`.

    Raises:
        ReferenceFormatError: an escape is not closed or is not hexadecimal.
    """
    out: list[str] = []
    rest = text
    while rest:
        plain, underscore, rest = rest.partition("_")
        out.append(plain)
        if not underscore:
            break
        if rest.startswith("_"):
            out.append("_")
            rest = rest[1:]
            continue
        code, closed, rest = rest.partition("_")
        try:
            out.append(chr(int(code, 16)))
        except (ValueError, OverflowError):
            raise ReferenceFormatError(
                f"malformed escape in ref name {text!r}", hint=_REF_HINT
            ) from None
        if not closed:
            raise ReferenceFormatError(f"unfinished escape in ref name {text!r}", hint=_REF_HINT)
    return "".join(out)
