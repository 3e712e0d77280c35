"""Small bootable images as OCI layouts: a directory per image, made from dictionaries."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

KERNEL = "usr/lib/modules/6.12.0-test"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def newc(*names: str) -> bytes:
    """Return a cpio archive of empty files, as an initramfs is one."""
    archive = b""
    for name in (*names, "TRAILER!!!"):
        raw = name.encode() + b"\0"
        fields = [0, 0o100644, 0, 0, 1, 0, 0, 0, 0, 0, 0, len(raw), 0]
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        archive += header + raw + b"\0" * (-(len(header) + len(raw)) % 4)
    return archive


# What a name is: the content of a file, or (target,) of a symbolic link.
Node = str | bytes | tuple[str]
Files = Mapping[str, Node]

BASE: dict[str, Node] = {
    f"{KERNEL}/vmlinuz": "kernel",
    f"{KERNEL}/initramfs.img": newc("usr/lib/ostree/ostree-prepare-root"),
    "usr/lib/os-release": "ID=test\nPRETTY_NAME=Test\n",
    "usr/lib/ostree/prepare-root.conf": "[composefs]\nenabled = no\n",
    "etc/shipped": "1\n",
    "usr/bin/": b"",
    "boot/": b"",
    "sysroot/": b"",
    "ostree/": b"",
    "var/": b"",
}


def _layer(files: Files) -> bytes:
    """Return the tar of `files`; a name that ends in a slash is a directory."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name.rstrip("/"))
            if isinstance(content, tuple):
                member.type, (member.linkname,) = tarfile.SYMTYPE, content
                tar.addfile(member)
                continue
            body = content.encode() if isinstance(content, str) else content
            if name.endswith("/"):
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(member)
            else:
                member.size, member.mode = len(body), 0o644
                tar.addfile(member, io.BytesIO(body))
    return stream.getvalue()


def write_image(
    directory: Path,
    layers: Sequence[Files | bytes] = (BASE,),
    *,
    version: str = "1",
    labels: Mapping[str, str] | None = None,
    architecture: str | None = None,
) -> str:
    """Write an image of `layers`, bottom first, into the OCI layout; return its digest.

    What the layout held before stays in its blobs, but has no name any more.
    """
    import platform

    # A layer given as bytes is compressed already.
    blobs = [
        files if isinstance(files, bytes) else gzip.compress(_layer(files), mtime=0)
        for files in layers
    ]
    diff_ids = [_digest(gzip.decompress(blob)) for blob in blobs]
    config = json.dumps({
        "architecture": architecture or _MACHINES[platform.machine()],
        "os": "linux",
        "created": "2026-10-14T19:22:15Z",
        "config": {"Labels": {"containers.bootc": "1", "version": version, **(labels or {})}},
        "rootfs": {
            "type": "layers",
            "diff_ids": diff_ids,
        },
    }).encode()
    manifest = json.dumps({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _descriptor(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [
            _descriptor(blob, "application/vnd.oci.image.layer.v1.tar+gzip") for blob in blobs
        ],
    }).encode()
    store = directory / "blobs/sha256"
    store.mkdir(parents=True, exist_ok=True)
    for blob in (*blobs, config, manifest):
        (store / hashlib.sha256(blob).hexdigest()).write_bytes(blob)
    index = {
        "schemaVersion": 2,
        "manifests": [_descriptor(manifest, "application/vnd.oci.image.manifest.v1+json")],
    }
    (directory / "index.json").write_text(json.dumps(index), encoding="utf-8")
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")
    return _digest(manifest)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _descriptor(content: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}
