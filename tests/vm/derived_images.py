"""Images put together in the registry itself: an image that is there, and layers on top of it.

Building and pushing an image takes half a minute; this takes no time, for tests that need many.
"""

import json
import urllib.request
from collections.abc import Sequence
from urllib.parse import urljoin

from tests.layers import sha256
from tools.registry import Registry

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_ANY = "application/octet-stream"
_TIMEOUT_S = 60


def derive(registry: Registry, base: str, name: str, layers: Sequence[bytes]) -> str:
    """Serve `base` with the uncompressed `layers` added as `name`, and return its digest.

    `base` and `name` are tags of one repository, as in `os:latest`.
    """
    repository, _, tag = name.partition(":")
    api = f"http://{registry.here(repository)}".replace(f"/{repository}", f"/v2/{repository}")
    manifest = json.loads(_request(f"{api}/manifests/{base.partition(':')[2]}", accept=_MANIFEST))
    config = json.loads(_request(f"{api}/blobs/{manifest['config']['digest']}"))
    config["config"]["Labels"]["org.opencontainers.image.version"] = tag
    for layer in layers:
        digest = _upload(api, layer)
        manifest["layers"].append({"mediaType": _LAYER, "digest": digest, "size": len(layer)})
        config["rootfs"]["diff_ids"].append(digest)
        config.setdefault("history", []).append({"created_by": f"a layer for {name}"})
    text = json.dumps(config).encode()
    manifest["config"] |= {"digest": _upload(api, text), "size": len(text)}
    text = json.dumps(manifest).encode()
    _request(f"{api}/manifests/{tag}", method="PUT", content=text, kind=manifest["mediaType"])
    return sha256(text)


def _upload(api: str, blob: bytes) -> str:
    digest = sha256(blob)
    begin = urllib.request.Request(f"{api}/blobs/uploads/", method="POST")  # noqa: S310 - loopback
    with urllib.request.urlopen(begin, timeout=_TIMEOUT_S) as begun:  # noqa: S310 - as above
        place = urljoin(api, begun.headers["Location"])
    joined = "&" if "?" in place else "?"
    _request(f"{place}{joined}digest={digest}", method="PUT", content=blob)
    return digest


def _request(
    url: str,
    *,
    method: str = "GET",
    content: bytes | None = None,
    kind: str = _ANY,
    accept: str = "*/*",
) -> bytes:
    headers = {"Accept": accept} | ({"Content-Type": kind} if content is not None else {})
    request = urllib.request.Request(url, data=content, headers=headers, method=method)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - as above
        answered: bytes = answer.read()
    return answered
