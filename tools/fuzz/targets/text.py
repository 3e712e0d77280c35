"""References, the refs they become, and foreign text on its way to a terminal."""

from contextlib import suppress
from pathlib import Path

from bootcpy.errors import ReferenceFormatError
from bootcpy.model.base.printable import escaped_json, printable, yaml_quoted
from bootcpy.model.image.failures import explain_blob_failure, explain_open_failure, is_transient
from bootcpy.model.image.reference import (
    ImageReference,
    SignedImageReference,
    Transport,
    escape_ref,
    unescape_ref,
)
from tools.fuzz.target import Target

_IMAGE = ImageReference(Transport.REGISTRY, "quay.io/example/os:1")


def reference(content: bytes) -> None:
    """Read a reference; what is written of it must be read back the same."""
    text = content.decode(errors="surrogateescape")
    for kind in (ImageReference, SignedImageReference):
        with suppress(ReferenceFormatError):
            found = kind.parse(text)
            assert kind.parse(str(found)) == found  # noqa: S101 - what is fuzzed
    with suppress(ReferenceFormatError):
        image = ImageReference.parse(text)
        _ = (image.digest, image.repository, image.tag, image.for_pull())
        image.seen_from(Path("/somewhere"))
        image.with_digest("sha256:" + "0" * 64)


def ref_name(content: bytes) -> None:
    """Make a ref's name of any text, and the text of it again."""
    text = content.decode(errors="replace")
    for slashes in (False, True):
        name = escape_ref(text, slashes=slashes)
        assert unescape_ref(name) == text  # noqa: S101 - what is fuzzed
        assert ".." not in name  # noqa: S101
        assert not slashes or "/" not in name  # noqa: S101


def escaped_ref(content: bytes) -> None:
    """Read the name of a ref that somebody else wrote."""
    unescape_ref(content.decode(errors="replace"))


def registry_error(content: bytes) -> None:
    """Explain what a registry said."""
    cause = content.decode(errors="surrogateescape")
    is_transient(cause)
    for error in (
        explain_open_failure(cause, _IMAGE, auth_file=None, policy_file=Path("/policy.json")),
        explain_blob_failure(cause, _IMAGE, "sha256:0"),
    ):
        assert f"{error.message}{error.hint}".isprintable()  # noqa: S101 - what is fuzzed


def terminal_text(content: bytes) -> None:
    """Make foreign text printable."""
    text = content.decode(errors="surrogateescape")
    shown = printable(text)
    assert shown.replace("\xa0", "").isprintable()  # noqa: S101 - what is fuzzed
    assert printable(shown) == shown  # noqa: S101
    assert len(printable(text, limit=40)) <= 40  # noqa: S101, PLR2004
    yaml_quoted(text)
    escaped_json(text)


TARGETS: dict[str, Target] = {
    "reference": reference,
    "ref-name": ref_name,
    "escaped-ref": escaped_ref,
    "registry-error": registry_error,
    "terminal-text": terminal_text,
}
