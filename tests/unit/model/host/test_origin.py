import pytest

from bootcpy.errors import DeploymentError
from bootcpy.model.host.origin import Origin, render_origin
from bootcpy.model.image.reference import SignedImageReference
from tests.refusals import refused

_IMAGE = SignedImageReference.parse("ostree-unverified-registry:quay.io/example/os:latest")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", Origin(), id="empty"),
        pytest.param(
            "[origin]\ncontainer-image-reference=ostree-unverified-registry:quay.io/example/os:latest\n",
            Origin(image=_IMAGE),
            id="as bootc writes it",
        ),
        pytest.param(
            "# comment\n\n[origin]\ncontainer-image-reference = "
            "ostree-unverified-image:docker://quay.io/example/os:latest\nunlocked=development\n"
            "[libostree-transient]\npinned=true\n",
            Origin(image=_IMAGE),
            id="with libostree's own state",
        ),
        pytest.param(
            "[origin]\ncontainer-image-reference=ostree-unverified-image:oci:\\\\mnt\\s\u3000x\n",
            Origin(image=SignedImageReference.parse("ostree-unverified-image:oci:\\mnt \u3000x")),
            id="as GLib escapes",
        ),
        pytest.param(
            "[origin]\ncomment=a\x0bb\x85c\u2028d\nrefspec=x\n",
            Origin(refspec="x"),
            id="lines end at newlines only",
        ),
        pytest.param(
            "[origin]\nrefspec=debian:stable/amd64\n",
            Origin(refspec="debian:stable/amd64"),
            id="plain ostree",
        ),
        pytest.param(
            "[origin]\nbaserefspec=fedora:x\n[packages]\nrequested=vim;\n[rpmostree]\n",
            Origin(refspec="fedora:x", layering=("rpmostree", "packages")),
            id="layered by rpm-ostree",
        ),
    ],
)
def test_parse_reads_what_is_followed(text: str, expected: Origin) -> None:
    assert Origin.parse(text, name="x.origin") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("refspec=x\n", "x.0.origin:1: not a key file line: 'refspec=x'"),
        ("[origin]\nnonsense\n", "x.0.origin:2: not a key file line: 'nonsense'"),
        ("\x1b[2J" + 100 * "x", f"x.0.origin:1: not a key file line: '\\\\x1b[2J{72 * 'x'}…'"),
        (
            "[origin]\ncontainer-image-reference=ostree-unverified-registry:a\\nb\n",
            (
                "x.0.origin: container-image-reference: image reference 'registry:a\\nb' "
                "has control characters, or is not UTF-8"
            ),
        ),
        (
            "[origin]\ncontainer-image-reference=quay.io/example/os\n",
            (
                "x.0.origin: container-image-reference: 'quay.io/example/os' is not a "
                "signature-qualified image reference"
            ),
        ),
    ],
)
def test_parse_refuses_what_is_no_origin(text: str, message: str) -> None:
    with refused(
        DeploymentError,
        hint="correct the file, or remove the deployment with ostree admin undeploy",
    ) as caught:
        Origin.parse(text, name="x.0.origin")
    assert caught.value.message == message


def test_a_backslash_is_read_back() -> None:
    image = SignedImageReference.parse("ostree-unverified-image:oci:/mnt/a\\nb\\")
    text = render_origin(image)
    assert text.endswith("oci:/mnt/a\\\\nb\\\\\n")
    assert Origin.parse(text, name="x") == Origin(image=image)


def test_render_origin_is_read_back() -> None:
    image = SignedImageReference.parse("ostree-image-signed:docker://quay.io/example/os@sha256:0")
    text = render_origin(image)
    assert text == (
        "[origin]\ncontainer-image-reference="
        "ostree-image-signed:docker://quay.io/example/os@sha256:0\n"
    )
    assert Origin.parse(text, name="x") == Origin(image=image)
