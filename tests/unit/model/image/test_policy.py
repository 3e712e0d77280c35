import json

import pytest

from bootcpy.model.image.policy import Policy, PolicyFormatError
from bootcpy.model.image.reference import ImageReference

_ANYTHING = {"type": "insecureAcceptAnything"}
_SIGNED = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/etc/pki/os.gpg"}
_SIGSTORE = {"type": "sigstoreSigned", "keyPaths": ["/etc/a.pub", "/etc/b.pub"]}
_REJECT = {"type": "reject"}
_POLICY = {
    "default": [_REJECT],
    "transports": {
        "docker": {
            "quay.io/example/os:2": [_ANYTHING],
            "quay.io/example": [_SIGNED],
            "*.example.org": [_SIGSTORE, _REJECT],
            "b.example.org:5000": [_ANYTHING, _ANYTHING],
            "*.example.net:5000": [_ANYTHING],
            "docker.io": [_ANYTHING],
        },
        "oci": {"/srv": [_ANYTHING], "": [_SIGNED], "/srv/os:1": [_REJECT]},
        "dir": {"/srv": [_ANYTHING]},
        "containers-storage": {
            "[overlay@/var/lib/containers/storage]localhost/os:1": [_ANYTHING],
            "[overlay@/var/lib/containers/storage]docker.io/library": [_SIGSTORE],
            "[/var/lib/containers/storage]": [_SIGNED],
        },
        "docker-daemon": {"": [_REJECT], "localhost/os": [_SIGNED]},
        "docker-archive": {"/srv": [_ANYTHING]},
    },
}
_DIGEST = f"sha256:{'1' * 64}"


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("docker://quay.io/example/os:2", "insecureAcceptAnything for docker quay.io/example/os:2"),
        ("docker://quay.io/example/os", "signedBy (/etc/pki/os.gpg) for docker quay.io/example"),
        (
            f"docker://quay.io/example/os:2@{_DIGEST}",
            "signedBy (/etc/pki/os.gpg) for docker quay.io/example",
        ),
        ("docker://quay.io/other/os", "reject by default"),
        ("docker://quay.io/examples/os", "reject by default"),
        (
            "docker://a.b.example.org:5000/os",
            "sigstoreSigned (/etc/a.pub, /etc/b.pub), reject for docker *.example.org",
        ),
        (
            "docker://b.example.org:5000/os",
            "insecureAcceptAnything, insecureAcceptAnything for docker b.example.org:5000",
        ),
        ("docker://example.org/os", "reject by default"),
        ("docker://a.example.net:5000/os", "reject by default"),
        ("docker://debian:trixie", "insecureAcceptAnything for docker docker.io"),
        ("oci:/srv/os:1", "insecureAcceptAnything for oci /srv"),
        ("oci:/mnt/os", "signedBy (/etc/pki/os.gpg) for oci"),
        ("dir:/srv/os", "insecureAcceptAnything for dir /srv"),
        ("dir:/srvs/os", "reject by default"),
        (
            "containers-storage:localhost/os:1",
            (
                "insecureAcceptAnything for containers-storage "
                "[overlay@/var/lib/containers/storage]localhost/os:1"
            ),
        ),
        (
            "containers-storage:debian:trixie",
            (
                "sigstoreSigned (/etc/a.pub, /etc/b.pub) for containers-storage "
                "[overlay@/var/lib/containers/storage]docker.io/library"
            ),
        ),
        (
            "containers-storage:@1234",
            ("signedBy (/etc/pki/os.gpg) for containers-storage [/var/lib/containers/storage]"),
        ),
        (
            "docker-daemon:localhost/os:1",
            "signedBy (/etc/pki/os.gpg) for docker-daemon localhost/os",
        ),
        (f"docker-daemon:{_DIGEST}", "reject for docker-daemon"),
        ("docker-archive:/srv/os", "reject by default"),
    ],
)
def test_the_narrowest_scope_governs(image: str, expected: str) -> None:
    policy = Policy.parse(json.dumps(_POLICY))
    assert str(policy.governing(ImageReference.parse(image))) == expected


@pytest.mark.parametrize(
    ("requirements", "expected"),
    [
        ([_ANYTHING], True),
        ([_ANYTHING, _ANYTHING], True),
        ([_ANYTHING, _SIGNED], False),
        ([_REJECT], False),
        ([_SIGSTORE], False),
    ],
)
def test_accept_anything(requirements: list[object], *, expected: bool) -> None:
    policy = Policy.parse(json.dumps({"default": requirements}))
    assert policy.default.accept_anything is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is not an object"),
        ("{}", "there is no list of requirements by default"),
        ('{"default": []}', "there is no list of requirements by default"),
        ('{"default": {}}', "there is no list of requirements by default"),
        ('{"default": [{}]}', "a requirement by default has no type"),
        ('{"default": [5]}', "a requirement by default has no type"),
        ('{"default": [{"type": 5}]}', "a requirement by default has no type"),
        ('{"default": [{"type": "reject"}], "default": []}', "the key 'default' occurs twice"),
        ('{"default": [{"type": "reject"}], "transports": 5}', "transports is not an object"),
        (
            '{"default": [{"type": "reject"}], "transports": {"docker": []}}',
            "docker is not an object",
        ),
        (
            '{"default": [{"type": "reject"}], "transports": {"docker": {"\\u001b[2J": []}}}',
            r"there is no list of requirements for docker \\x1b\[2J",
        ),
        ("[" * 100_000, "nested deeper"),
        (" " * (1 << 20) + "{}", "longer than 1,048,576 characters"),
    ],
    ids=lambda text: text[:30],
)
def test_parse_refuses_what_is_no_policy(text: str, message: str) -> None:
    with pytest.raises(PolicyFormatError, match=message):
        Policy.parse(text)
