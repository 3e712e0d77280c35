from collections.abc import Callable

import pytest

from bootcpy.errors import ConfigurationError
from bootcpy.model.host.document import BootOrder, Host, HostSpec
from bootcpy.model.host.document_text import to_json, to_yaml
from bootcpy.model.host.edited_spec import parse_edited_spec
from bootcpy.model.image.reference import SignedImageReference
from tests.refusals import refused
from tests.unit.model.host.test_document_text import HOSTS

_TRANSPORTS = (
    "use one of: registry, oci, oci-archive, docker-archive, docker-daemon, containers-storage, "
    "dir, docker"
)
_BEGIN = "start from the output of `bootc status --format yaml`"
_SIGNATURES = "use insecure, containerPolicy or a mapping with ostreeRemote"

_EDITED = """\
apiVersion: org.containers.bootc/v1alpha1
kind: BootcHost
unheard: of
spec:
  image: {image: quay.io/example/os, transport: registry, signature: {ostreeRemote: debian}}
  bootOrder: rollback
status: nonsense
"""


def test_parse_edited_spec_reads_the_spec_and_nothing_else() -> None:
    assert parse_edited_spec(_EDITED, name="x") == HostSpec(
        image=SignedImageReference.parse("ostree-remote-registry:debian:quay.io/example/os"),
        boot_order=BootOrder.ROLLBACK,
    )


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS.keys())
@pytest.mark.parametrize("form", [to_json, to_yaml])
def test_parse_edited_spec_returns_what_was_printed(
    host: Host, form: Callable[[Host], str]
) -> None:
    assert parse_edited_spec(form(host), name="x") == host.spec


def _with_spec(text: str) -> str:
    return f"apiVersion: x\nkind: y\nspec:\n{text}"


# Each list holds the one before twice.
_BOMB = "[" + ", ".join(["&a0 [x]", *(f"&a{n + 1} [*a{n}, *a{n}]" for n in range(64))]) + "]"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("a: [", "f.yaml:1: expected the node content, but found '<stream end>'", _BEGIN),
        ("a: b: c", "f.yaml:1: mapping values are not allowed here", _BEGIN),
        ("a: \0", "f.yaml: special characters are not allowed", _BEGIN),
        ("a: 2026-13-41", "f.yaml is not YAML: month must be in 1..12", _BEGIN),
        ("{" * 5000, "f.yaml is not YAML: maximum recursion depth exceeded", _BEGIN),
        ("a: !!bool maybe", "f.yaml is not YAML: 'maybe'", _BEGIN),
        ("a: !!int ''", "f.yaml is not YAML: string index out of range", _BEGIN),
        ("a: !!float x", "f.yaml is not YAML: could not convert string to float: 'x'", _BEGIN),
        ("? {a: b}\n: c", "f.yaml:1: found unhashable key", _BEGIN),
        ("", "f.yaml: this is not a mapping", _BEGIN),
        ("a\n", "f.yaml: this is not a mapping", _BEGIN),
        ("kind: BootcHost\n", "f.yaml: the key apiVersion is missing", _BEGIN),
        ("apiVersion: x\nkind: y\nspec: 1\n", "f.yaml:3: spec: not a mapping", _BEGIN),
        (
            _with_spec("  bootOrder: z\n"), "f.yaml:4: spec.bootOrder: 'z' is unknown",
            "use default or rollback",
        ),
        (
            _with_spec("  bootorder: z\n"), "f.yaml:4: spec.bootorder: this key is unknown",
            "known are image, bootOrder",
        ),
        (_with_spec("  image: quay.io/x\n"), "f.yaml:4: spec.image: not a mapping", _BEGIN),
        (
            _with_spec("  image: {image: x, transport: oci,\n    tag: 1}\n"),
            "f.yaml:5: spec.image.tag: this key is unknown",
            "known are image, transport, signature",
        ),
        (
            _with_spec("  image:\n    image: quay.io/x\n"),
            "f.yaml:4: spec.image.transport: a non-empty string is needed",
            _BEGIN,
        ),
        (
            _with_spec('  image:\n    image: "x\\ny"\n    transport: oci\n'),
            "f.yaml:5: spec.image.image: image reference 'x\\ny' has control characters",
            "remove them from the name",
        ),
        (
            _with_spec("  bootOrder: " + _BOMB),
            "f.yaml:4: spec.bootOrder: [['x'], [['x'], ['x']], ",
            "use default or rollback",
        ),
        (
            _with_spec("  image:\n    image: x\n    transport: ftp\n"),
            "f.yaml:6: spec.image.transport: unknown transport 'ftp'",
            _TRANSPORTS,
        ),
        (
            _with_spec("  image:\n    image: x\n    transport: oci\n    signature: no\n"),
            "f.yaml:7: spec.image.signature: False is unknown",
            _SIGNATURES,
        ),
        (
            _with_spec("  image: {image: x, transport: oci,\n    signature: {ostreeRemote: 1}}"),
            "f.yaml:5: spec.image.signature: {'ostreeRemote': 1} is unknown",
            _SIGNATURES,
        ),
    ],
)  # fmt: skip
def test_parse_edited_spec_names_file_line_and_key(text: str, message: str, hint: str) -> None:
    with refused(ConfigurationError, hint=hint) as caught:
        parse_edited_spec(text, name="f.yaml")
    assert caught.value.message.startswith(message)
