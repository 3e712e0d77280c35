"""Registries that answer oddly: refusals, redirects, lengths, bodies, silence."""

import json
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from zlib import crc32

import pytest

from tests.hostile.ground import Ground, Row, Words
from tests.hostile.images import BASE, INDEX, MIB, ZEROS, Layout, layer
from tests.hostile.registry import Answer, Answering, answering
from tests.layers import file, noise

# More than pipes hold, and never the same for two rows: what is here is not fetched.
_SIZE = 300_000
_JSON = {"Content-Type": "application/json"}
_HTML = b"<html><body>\x1b[31mNo such page\nerror: forged</body></html>"


def _row(name: str, refused: str, answer: Answering, once: str = "", **environment: str) -> Row:
    """Return a row that switches to an image of an odd registry."""

    def words(ground: Ground, place: Path) -> Words:
        big = layer(file("usr/big", noise(crc32(name.encode()), _SIZE)))
        layout = Layout((BASE, big)).write(place / "served")
        port = ground.undo.enter_context(answering(layout, answer))
        text = f'[[registry]]\nlocation = "127.0.0.1:{port}"\ninsecure = true\n'
        ground.change(ground.home / ".config/containers/registries.conf", text.encode())
        return ["switch", "--quiet", f"127.0.0.1:{port}/os:1"]

    return Row(id=name, words=words, refused=refused, environment=environment, once=once)


def _at(part: str, sent: Answer) -> Answering:
    """Return what answers the paths with `part` in them so, and all others right."""
    return lambda path, right: sent if part in path else right


def _changing(part: str, **fields: object) -> Answering:
    return lambda path, right: replace(right, **fields) if part in path else right  # type: ignore[arg-type]


def _body(part: str, cut: slice) -> Answering:
    """Return what sends a part of the body only, and claims the whole."""
    return lambda path, right: (
        replace(right, body=right.body[cut], claimed=len(right.body)) if part in path else right
    )


def _error(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


def _manifest(body: bytes, kind: str) -> Answering:
    return _at("/manifests/", Answer(body=body, headers={"Content-Type": kind}))


_MANIFEST, _BLOB, _PING = "/manifests/", "/blobs/", "/v2/"
_OCI = "application/vnd.oci.image.manifest.v1+json"
_ESCAPE = "\x1b[31mred\x9b2J\u202e\nerror: forged"

_PINGS = [
    _row("ping-404", ".", _at(_PING, Answer(404))),
    _row("ping-401", "refuses access", _at(_PING, Answer(401))),
    _row(
        "ping-401-basic",
        "does not answer like a registry",
        _at(_PING, Answer(401, headers={"WWW-Authenticate": 'Basic realm="\x1b[31m"'})),
    ),
    _row(
        "ping-401-bearer-odd",
        ".",
        _at(_PING, Answer(401, headers={"WWW-Authenticate": 'Bearer realm="://\x80"'})),
    ),
    _row(
        "ping-401-bearer-file",
        ".",
        _at(_PING, Answer(401, headers={"WWW-Authenticate": 'Bearer realm="file:///etc/shadow"'})),
    ),
    _row("ping-403", "refuses access", _at(_PING, Answer(403, _error("DENIED", _ESCAPE), _JSON))),
    _row("ping-418", ".", _at(_PING, Answer(418, _HTML))),
]

_MANIFESTS = [
    _row("manifest-404", "404", _at(_MANIFEST, Answer(404))),
    _row(
        "manifest-404-error",
        "there is no image",
        _at(_MANIFEST, Answer(404, _error("MANIFEST_UNKNOWN", "unknown"), _JSON)),
    ),
    _row(
        "manifest-404-escape",
        ".",
        _at(_MANIFEST, Answer(404, _error("MANIFEST_UNKNOWN", _ESCAPE), _JSON)),
        once="raw escapes on the terminal",
    ),
    _row(
        "manifest-404-html", ".", _at(_MANIFEST, Answer(404, _HTML, {"Content-Type": "text/html"}))
    ),
    _row(
        "manifest-403-escape",
        "refuses access",
        _at(_MANIFEST, Answer(403, _error("DENIED", _ESCAPE), _JSON)),
    ),
    _row("manifest-400-megabyte", ".", _at(_MANIFEST, Answer(400, b"x" * MIB))),
    _row("manifest-400-nested", ".", _at(_MANIFEST, Answer(400, b"[" * 100_000, _JSON))),
    _row(
        "manifest-301-loop",
        ".",
        _at(_MANIFEST, Answer(301, headers={"Location": "/v2/os/manifests/1"})),
    ),
    _row(
        "manifest-302-file",
        ".",
        _at(_MANIFEST, Answer(302, headers={"Location": "file:///etc/shadow"})),
    ),
    _row(
        "manifest-302-nowhere", ".", _at(_MANIFEST, Answer(302, headers={"Location": "x://\x7f"}))
    ),
    _row("manifest-302-without", ".", _at(_MANIFEST, Answer(302))),
    _row("manifest-200-html", ".", _manifest(_HTML, "text/html")),
    _row("manifest-200-html-as-json", ".", _manifest(_HTML, _OCI)),
    _row("manifest-200-empty", ".", _manifest(b"", _OCI)),
    _row("manifest-200-null", ".", _manifest(b"null", _OCI)),
    _row(
        "manifest-200-other",
        ".",
        _manifest(b"{}", "application/vnd.docker.distribution.manifest.v1+prettyjws"),
    ),
    _row("manifest-200-index-empty", ".", _manifest(b'{"schemaVersion":2,"manifests":[]}', INDEX)),
    _row(
        "manifest-200-index-of-itself",
        ".",
        _manifest(
            json.dumps({
                "schemaVersion": 2,
                "mediaType": INDEX,
                "manifests": [{"mediaType": INDEX, "digest": ZEROS, "size": 1}],
            }).encode(),
            INDEX,
        ),
    ),
    _row("manifest-20-MiB", ".", _manifest(b'{"a":"' + b"x" * (20 * MIB) + b'"}', _OCI)),
    _row(
        "manifest-digest-header-odd",
        ".",
        _changing(
            _MANIFEST, headers={"Content-Type": _OCI, "Docker-Content-Digest": "sha256:\x1b[31m"}
        ),
    ),
    _row("manifest-length-odd", ".", _changing(_MANIFEST, claimed=5)),
]

_BLOBS = [
    _row("blob-404", "404", _at(_BLOB, Answer(404))),
    _row("blob-404-escape", ".", _at(_BLOB, Answer(404, _error("BLOB_UNKNOWN", _ESCAPE), _JSON))),
    _row("blob-403", ".", _at(_BLOB, Answer(403, _HTML))),
    _row("blob-html", ".", _at(_BLOB, Answer(200, _HTML))),
    _row("blob-empty", ".", _at(_BLOB, Answer(200, b""))),
    _row("blob-302-file", ".", _at(_BLOB, Answer(302, headers={"Location": "file:///etc/shadow"}))),
    _row("blob-302-loop", ".", _at(_BLOB, Answer(302, headers={"Location": "/v2/os/blobs/x"}))),
    _row(
        "blob-longer",
        "is not what the manifest says|.",
        lambda path, right: replace(right, body=right.body + b"x") if _BLOB in path else right,
    ),
    _row(
        "blob-shorter",
        ".",
        lambda path, right: replace(right, body=right.body[:-1]) if _BLOB in path else right,
    ),
    _row(
        "blob-flipped",
        ".",
        lambda path, right: replace(right, body=b"x" + right.body[1:]) if _BLOB in path else right,
    ),
    _row(
        "blob-of-another",
        ".",
        lambda path, right: replace(right, body=BASE.content) if _BLOB in path else right,
    ),
    _row("blob-chunks-odd", ".", _changing(_BLOB, chunked=b"zz\r\nnonsense")),
    _row("blob-header-long", "", _changing(_BLOB, headers={"X": "y" * (2 * MIB)})),
]

ROWS = [*_PINGS, *_MANIFESTS, *_BLOBS]

# Waiting and trying again takes seconds each.
_SLOW = [
    _row(
        "ping-401-bearer-nowhere",
        ".",
        _at(
            _PING, Answer(401, headers={"WWW-Authenticate": 'Bearer realm="http://127.0.0.1:1/t"'})
        ),
    ),
    _row("manifest-shorter", ".", _body(_MANIFEST, slice(0, 50))),
    _row("blob-chunks-cut", ".", _changing(_BLOB, chunked=b"5\r\nabc")),
    _row("manifest-503", "503", _at(_MANIFEST, Answer(503))),
    _row(
        "manifest-429",
        "429|[Tt]oo [Mm]any",
        _at(_MANIFEST, Answer(429, headers={"Retry-After": "0"})),
    ),
    _row("blob-500", "500", _at(_BLOB, Answer(500))),
    _row("blob-ends-in-the-middle", ".", _body(_BLOB, slice(0, 1000))),
]


@pytest.mark.parametrize("row", ROWS, ids=attrgetter("id"))
def test_answers(ground: Ground, row: Row) -> None:
    ground.check(row)


@pytest.mark.slow
@pytest.mark.parametrize("row", _SLOW, ids=attrgetter("id"))
def test_answers_that_are_asked_for_again(ground: Ground, row: Row) -> None:
    ground.check(row)
