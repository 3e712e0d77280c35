import base64
import json
from typing import Any

import pytest

from bootcpy.model.image.acceptance import Acceptance
from bootcpy.model.image.policy import Policy, Requirements
from bootcpy.model.image.policy_demands import demands_of, digest_of, named_files

_IMAGE = "docker://quay.io/example/os"
_ANYTHING = {"type": "insecureAcceptAnything"}
_FILES = {"/a.gpg": digest_of(b"a"), "/b.gpg": digest_of(b"b"), "/also-a.gpg": digest_of(b"a")}
_A_INLINE = base64.b64encode(b"a").decode()


def _signed(*paths: str, **more: object) -> dict[str, Any]:
    return {"type": "signedBy", "keyType": "GPGKeys", "keyPaths": list(paths), **more}


def _requirements(*requirements: dict[str, Any]) -> Requirements:
    return Policy.parse(json.dumps({"default": list(requirements)})).default


def _accepted(*requirements: dict[str, Any], image: str = _IMAGE) -> Acceptance:
    governing = _requirements(*requirements)
    return Acceptance(image=image, words=str(governing), demands=demands_of(governing, _FILES))


_SIGSTORE = {
    "type": "sigstoreSigned",
    "fulcio": {"caPath": "/a.gpg", "oidcIssuer": "https://example.org"},
    "rekorPublicKeyPaths": ["/b.gpg"],
}


@pytest.mark.parametrize(
    ("met", "today", "enough"),
    [
        pytest.param([_ANYTHING], [_ANYTHING], True, id="anything"),
        pytest.param([_ANYTHING], [_ANYTHING, _ANYTHING], True, id="anything twice"),
        pytest.param([_ANYTHING], [_signed("/a.gpg")], False, id="signed now"),
        pytest.param([_ANYTHING], [{"type": "reject"}], False, id="rejected now"),
        pytest.param([_signed("/a.gpg")], [{"type": "reject"}], False, id="signed, rejected now"),
        pytest.param([_signed("/a.gpg")], [_ANYTHING], True, id="anything now"),
        pytest.param([_signed("/a.gpg")], [_signed("/a.gpg")], True, id="the same"),
        pytest.param(
            [_signed("/a.gpg")], [_ANYTHING, _signed("/a.gpg")], True, id="the same with anything"
        ),
        pytest.param([_signed("/a.gpg")], [_signed("/b.gpg")], False, id="another key"),
        pytest.param([_signed("/a.gpg")], [_signed("/b.gpg", "/a.gpg")], True, id="one key more"),
        pytest.param([_signed("/b.gpg", "/a.gpg")], [_signed("/a.gpg")], False, id="one key less"),
        pytest.param([_signed("/a.gpg")], [_signed("/also-a.gpg")], True, id="the file renamed"),
        pytest.param(
            [_signed("/a.gpg")],
            [
                {
                    "type": "signedBy",
                    "keyType": "GPGKeys",
                    "keyData": base64.b64encode(b"a").decode(),
                }
            ],
            True,
            id="the key inline",
        ),
        pytest.param([_signed("/a.gpg")], [_signed("/gone.gpg")], False, id="a key that is gone"),
        pytest.param(
            [_signed("/a.gpg")],
            [_signed("/a.gpg", signedIdentity={"type": "matchExact"})],
            False,
            id="another identity",
        ),
        pytest.param(
            [_signed("/a.gpg")], [_signed("/a.gpg"), _signed("/b.gpg")], False, id="two of two"
        ),
        pytest.param(
            [_signed("/a.gpg"), _signed("/b.gpg")], [_signed("/b.gpg")], True, id="one of two"
        ),
        pytest.param([_SIGSTORE], [_SIGSTORE], True, id="sigstore"),
        pytest.param(
            [_SIGSTORE],
            [{**_SIGSTORE, "fulcio": {"caPath": "/b.gpg", "oidcIssuer": "https://example.org"}}],
            False,
            id="another authority",
        ),
        pytest.param(
            [_SIGSTORE], [{**_SIGSTORE, "rekorPublicKeyPaths": ["/a.gpg"]}], False, id="another log"
        ),
        pytest.param(
            [_SIGSTORE],
            [
                {
                    **_SIGSTORE,
                    "fulcio": {"caPath": "/also-a.gpg", "oidcIssuer": "https://example.org"},
                }
            ],
            True,
            id="the authority's file renamed",
        ),
    ],
)
def test_is_enough(met: list[dict[str, Any]], today: list[dict[str, Any]], *, enough: bool) -> None:
    demands = demands_of(_requirements(*today), _FILES)
    assert _accepted(*met).is_enough(_IMAGE, demands) is enough


def test_what_another_image_met_counts_for_nothing() -> None:
    accepted = _accepted(_signed("/a.gpg"), image="docker://quay.io/example/other")
    assert not accepted.is_enough(_IMAGE, accepted.demands)
    assert accepted.is_enough(_IMAGE, ())


def test_a_record_is_read_back() -> None:
    accepted = _accepted(_signed("/a.gpg"), _SIGSTORE)
    assert Acceptance.parse(accepted.to_text()) == accepted


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "5", '{"image": 1, "words": 2, "demands": 3}', "[" * 100_000],
    ids=lambda text: text[:30],
)
def test_what_is_no_record_is_none(text: str) -> None:
    assert Acceptance.parse(text) is None


def test_named_files() -> None:
    governing = _requirements(_signed("/a.gpg", "/b.gpg"), _SIGSTORE, {**_ANYTHING, "keyPath": 5})
    assert named_files(governing) == ("/a.gpg", "/b.gpg")
