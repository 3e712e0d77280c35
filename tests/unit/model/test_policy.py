import json

import pytest

from bootcpy.model.image import ImageReference
from bootcpy.model.policy import describe_requirement, refuses_nothing

_ANYTHING = {"type": "insecureAcceptAnything"}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"default": [_ANYTHING]}, True),
        ({"default": [_ANYTHING], "transports": {"docker": {"": [{"type": "reject"}]}}}, True),
        ({"default": [{"type": "reject"}]}, False),
        ({"default": [_ANYTHING, {"type": "signedBy"}]}, False),
        ({"default": []}, False),
        ({"default": ["insecureAcceptAnything"]}, False),
        ({}, False),
        ([], False),
        (None, False),
    ],
)
def test_refuses_nothing(policy: object, *, expected: bool) -> None:
    assert refuses_nothing(json.dumps(policy)) is expected


def test_refuses_nothing_does_not_guess_what_is_no_json() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        refuses_nothing("{")


_SIGNED = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/etc/pki/os.gpg"}
_SIGSTORE = {"type": "sigstoreSigned", "keyPaths": ["/etc/a.pub", "/etc/b.pub"]}
_POLICY = {
    "default": [{"type": "reject"}],
    "transports": {
        "docker": {
            "quay.io/example/os:2": [_ANYTHING],
            "quay.io/example": [_SIGNED],
            "*.example.org:5000": [_SIGSTORE, {"type": "reject"}],
            "docker.io": [],
        },
        "oci": {"/srv": [_ANYTHING], "": [_SIGNED]},
    },
}


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("docker://quay.io/example/os:2", "insecureAcceptAnything for docker quay.io/example/os:2"),
        ("docker://quay.io/example/os", "signedBy (/etc/pki/os.gpg) for docker quay.io/example"),
        (
            f"docker://quay.io/example/os:2@sha256:{'1' * 64}",
            "signedBy (/etc/pki/os.gpg) for docker quay.io/example",
        ),
        ("docker://quay.io/other/os", "reject by default"),
        (
            "docker://a.b.example.org:5000/os",
            "sigstoreSigned (/etc/a.pub, /etc/b.pub), reject for docker *.example.org:5000",
        ),
        ("docker://a.example.org/os", "reject by default"),
        ("docker://debian:trixie", "nothing for docker docker.io"),
        ("oci:/srv/os:1", "insecureAcceptAnything for oci /srv"),
        ("oci:/mnt/os", "signedBy (/etc/pki/os.gpg) for oci"),
        ("dir:/srv/os", "reject by default"),
    ],
)
def test_describe_requirement(image: str, expected: str) -> None:
    assert describe_requirement(json.dumps(_POLICY), ImageReference.parse(image)) == expected


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"default": {}}', '{"default": [{}]}'])
def test_describe_requirement_of_what_is_no_policy(text: str) -> None:
    image = ImageReference.parse("docker://quay.io/example/os")
    assert describe_requirement(text, image) in {None, "nothing by default"}
