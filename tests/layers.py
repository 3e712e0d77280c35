"""Layers for tests, made member by member: what a builder would have written, good or bad."""

import gzip
import hashlib
import io
import random
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """A header with its content."""

    header: tarfile.TarInfo
    content: bytes = b""


def _header(name: str, kind: bytes, mode: int, uid: int, gid: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type, header.mode, header.uid, header.gid, header.mtime = kind, mode, uid, gid, 0
    return header


def _with_xattrs(header: tarfile.TarInfo, xattrs: Mapping[str, str] | None) -> tarfile.TarInfo:
    header.pax_headers = {f"SCHILY.xattr.{name}": value for name, value in (xattrs or {}).items()}
    return header


def directory(
    name: str,
    *,
    mode: int = 0o755,
    uid: int = 0,
    gid: int = 0,
    xattrs: Mapping[str, str] | None = None,
) -> Member:
    return Member(_with_xattrs(_header(name, tarfile.DIRTYPE, mode, uid, gid), xattrs))


def file(
    name: str,
    content: bytes = b"",
    *,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    xattrs: Mapping[str, str] | None = None,
    mtime: int = 0,
) -> Member:
    header = _with_xattrs(_header(name, tarfile.REGTYPE, mode, uid, gid), xattrs)
    header.size, header.mtime = len(content), mtime
    return Member(header, content)


def symlink(name: str, target: str) -> Member:
    header = _header(name, tarfile.SYMTYPE, 0o777, 0, 0)
    header.linkname = target
    return Member(header)


def hardlink(name: str, target: str, *, mtime: int = 0) -> Member:
    header = _header(name, tarfile.LNKTYPE, 0o644, 0, 0)
    header.linkname, header.mtime = target, mtime
    return Member(header)


def device(name: str, kind: bytes = tarfile.CHRTYPE) -> Member:
    header = _header(name, kind, 0o600, 0, 0)
    header.devmajor, header.devminor = 1, 3
    return Member(header)


def whiteout(path: str) -> Member:
    parent, _, name = path.rpartition("/")
    return file(f"{parent}/.wh.{name}" if parent else f".wh.{name}")


def opaque(path: str) -> Member:
    return file(f"{path}/.wh..wh..opq")


def tar(*members: Member, form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return the bytes of a tar with these members, as they are, in this order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for member in members:
            archive.addfile(member.header, io.BytesIO(member.content))
    return out.getvalue()


def names(archive: bytes) -> list[str]:
    """Return the names in a tar, in order."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return opened.getnames()


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def noise(seed: int, size: int) -> bytes:
    """Return bytes that do not compress, always the same ones for a seed."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - repeatable, not secret


def compressed(archive: bytes) -> bytes:
    """Return the archive as gzip, always the same bytes for the same archive."""
    return gzip.compress(archive, compresslevel=1, mtime=0)


def bootable_tree() -> Iterable[Member]:
    """Yield the members of a layer that looks like a small operating system."""
    yield directory("./")
    yield directory("usr")
    yield directory("usr/bin")
    yield file("usr/bin/tool", b"#!/bin/sh\n", mode=0o755)
    yield directory("usr/share", mode=0o751, uid=5)
    yield file("usr/share/notes", b"one\n")
    yield directory("etc")
    yield file("etc/hosts", b"127.0.0.1 localhost\n")
    yield directory("var")
    yield directory("var/lib", mode=0o700)
