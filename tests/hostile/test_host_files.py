"""Odd files of the host itself: what a command makes of them, and that it leaves them alone."""

from collections.abc import Callable
from operator import attrgetter
from pathlib import Path

import pytest

from tests.hostile.ground import Ground, Row, Words
from tests.hostile.images import MIB, Layout
from tests.hostile.registry import Answer, answering

_IMAGE_KEY = "container-image-reference"
_Place = Callable[[Ground], Path]


def _row(
    name: str,
    where: _Place,
    content: bytes | None,
    refused: str = "",
    *,
    said: str = "",
    command: tuple[str, ...] = ("status",),
    once: str = "",
    **environment: str,
) -> Row:
    """Return a row that runs a command with a file of the host changed."""

    def words(ground: Ground, place: Path) -> Words:
        ground.change(where(ground), content)
        if command != ("switch",):
            return command
        layout = Layout(labels={"version": name}).write(place / "image")
        return ["switch", "--quiet", "--transport=oci", layout]

    return Row(id=name, words=words, refused=refused, said=said, environment=environment, once=once)


def _origin(ground: Ground) -> Path:
    return ground.deployment.with_name(f"{ground.deployment.name}.origin")


def _of_origin(name: str, text: bytes, refused: str = "", once: str = "") -> Row:
    return _row(f"origin-{name}", _origin, text, refused, once=once)


def _following(reference: str) -> bytes:
    return f"[origin]\n{_IMAGE_KEY}={reference}\n".encode(errors="surrogateescape")


_ORIGINS = [
    _of_origin("empty", b""),
    _of_origin("text", b"<html>", "origin"),
    _of_origin("not-utf8", b"[origin]\nx=\xff\n", "origin"),
    _of_origin("nul", b"[origin]\nx=\0\n", "cannot be read"),
    _of_origin("no-group", b"x=y\n", "origin"),
    _of_origin("group-open", b"[origin\nx=y\n", "origin"),
    _of_origin("bom", b"\xef\xbb\xbf[origin]\nx=y\n", "origin"),
    _of_origin("2-MiB", b"[origin]\n" + b"#" * (2 * MIB) + b"\n"),
    _of_origin("many-keys", b"[origin]\n" + b"".join(b"k%d=v\n" % n for n in range(5000))),
    _of_origin("reference-odd", _following("x:y"), _IMAGE_KEY),
    _of_origin("reference-empty", _following(""), _IMAGE_KEY),
    _of_origin("reference-escape", _following("ostree-unverified-registry:q/\x1b[31mx"), "."),
    _of_origin("reference-transport", _following("ostree-unverified-image:floppy:a"), _IMAGE_KEY),
    _of_origin("reference-long", _following("ostree-unverified-registry:q/" + "x" * 60_000)),
    _of_origin("reference-dots", _following("ostree-unverified-image:dir:../../../etc")),
    _of_origin("reference-twice", _following("ostree-unverified-registry:q/a") * 2),
    _of_origin("refspec", b"[origin]\nrefspec=a:b\n"),
    _of_origin("refspec-odd", b"[origin]\nrefspec=\x1b[31m\n"),
    _of_origin("layered", b"[origin]\nrefspec=a:b\n[packages]\nrequested=x;\n"),
    _of_origin("escape-in-key", b"[origin]\n\x1b[31m=x\n", "."),
    _of_origin("newline-escaped", _following("ostree-unverified-registry:q/a\\nb"), "."),
]


def _entry(ground: Ground) -> Path:
    return max((ground.host.root / "boot/loader/entries").iterdir())


def _of_entry(name: str, text: bytes | None, refused: str = "", once: str = "") -> Row:
    return _row(f"entry-{name}", _entry, text, refused, once=once)


_ENTRIES = [
    _of_entry("empty", b"", "."),
    _of_entry("text", b"<html>\n", "."),
    _of_entry("not-utf8", b"title \xff\nlinux /x\n", "."),
    _of_entry("no-ostree", b"title x\nlinux /x\noptions root=x\n", "."),
    _of_entry("ostree-odd", b"linux /x\noptions ostree=/../../etc\n", "."),
    _of_entry("ostree-escape", b"linux /x\noptions ostree=/\x1b[31m\n", "."),
    _of_entry("ostree-nowhere", b"linux /x\noptions ostree=/ostree/boot.1/default/0/0\n", "."),
    _of_entry("2-MiB", b"#" * (2 * MIB) + b"\n", "."),
]


def _another(name: str) -> _Place:
    return lambda ground: ground.host.root / "boot/loader/entries" / name


_OTHER_ENTRIES = [
    _row("entry-of-another", _another("windows.conf"), b"title Windows\nlinux /x\n"),
    _row("entry-no-suffix", _another("README"), b"x"),
    _row("entry-name-escape", _another("\x1b[31m.conf"), b""),
]


def _policy(name: str, text: bytes, refused: str, once: str = "") -> Row:
    def words(ground: Ground, place: Path) -> Words:
        ground.change(ground.home / ".config/containers/policy.json", text)
        layout = Layout(labels={"version": name}).write(place / "image")
        enforce = "--enforce-container-sigpolicy"
        return ["switch", "--quiet", enforce, "--transport=oci", layout]

    return Row(id=f"policy-{name}", words=words, refused=refused, once=once)


_ANYTHING = b'{"default":[{"type":"insecureAcceptAnything"}]}'
_POLICIES = [
    _policy("empty", b"", "policy"),
    _policy("text", b"<html>", "policy"),
    _policy("not-utf8", b'{"default":"\xff"}', "policy", "a traceback: UnicodeDecodeError"),
    _policy("null", b"null", "policy"),
    _policy("list", b"[]", "policy"),
    _policy("no-default", b"{}", "policy"),
    _policy("default-empty", b'{"default":[]}', "policy"),
    _policy("default-odd", b'{"default":[{"type":"x"}]}', "policy"),
    _policy("default-number", b'{"default":5}', "policy"),
    _policy("reject", b'{"default":[{"type":"reject"}]}', "is rejected by"),
    _policy("anything", _ANYTHING, "insecureAcceptAnything"),
    _policy(
        "anything-twice",
        b'{"default":[{"type":"insecureAcceptAnything"},{"type":"insecureAcceptAnything"}]}',
        "policy|insecureAcceptAnything",
        "taken for a signature",
    ),
    _policy("nested", b'{"a":' * 20_000 + b"1" + b"}" * 20_000, "policy", "RecursionError"),
    _policy("number-huge", b'{"default":' + b"9" * 9000 + b"}", "policy", "ValueError"),
    _policy(
        "duplicate", b'{"default":[{"type":"reject"}],"default":[{"type":"reject"}]}', "policy"
    ),
    _policy(
        "key-missing",
        b'{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/nonexistent"}]}',
        ".",
    ),
    _policy("escape", b'{"default":[{"type":"\\u001b[31m"}]}', "policy"),
]


def _auth(ground: Ground) -> Path:
    return ground.host.run_directory / "ostree/auth.json"


def _of_auth(name: str, text: bytes, refused: str = "") -> Row:
    """Return a row that asks a registry which wants credentials; `%b` in `text` is its name."""

    def words(ground: Ground, place: Path) -> Words:
        layout = Layout().write(place / "served")
        wants = Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        port = ground.undo.enter_context(answering(layout, lambda _path, _right: wants))
        host = f"127.0.0.1:{port}"
        configuration = f'[[registry]]\nlocation = "{host}"\ninsecure = true\n'
        ground.change(ground.home / ".config/containers/registries.conf", configuration.encode())
        ground.change(_auth(ground), text.replace(b"%b", host.encode()))
        return ["switch", "--quiet", f"{host}/os:1"]

    return Row(id=f"auth-{name}", words=words, refused=refused)


_CREDENTIALS = "credentials|refuses access"
_AUTHS = [
    _of_auth("empty", b"", _CREDENTIALS),
    _of_auth("text", b"<html>", _CREDENTIALS),
    _of_auth("not-utf8", b'{"auths":{"\xff":{}}}', _CREDENTIALS),
    _of_auth("list", b"[]", _CREDENTIALS),
    _of_auth("auths-list", b'{"auths":[]}', _CREDENTIALS),
    _of_auth("auth-no-base64", b'{"auths":{"%b":{"auth":"!!"}}}', _CREDENTIALS),
    _of_auth("auth-no-colon", b'{"auths":{"%b":{"auth":"eA=="}}}', _CREDENTIALS),
    _of_auth("auth-wrong", b'{"auths":{"%b":{"auth":"eDp5"}}}', "refuses access"),
    _of_auth("auth-escape", b'{"auths":{"%b":{"auth":"GzpbMzFt"}}}', _CREDENTIALS),
    _of_auth("helper-odd", b'{"credHelpers":{"%b":"../../../bin/sh"}}', _CREDENTIALS),
    _of_auth("nested", b'{"auths":' * 20_000, _CREDENTIALS),
]


def _record(ground: Ground) -> Path:
    return ground.host.root / "ostree/bootc/staged.json"


_GOOD = (
    b'{"stateroot":%b,"checksum":"0","serial":0,"image":%b,"digest":%b,"staged_at":%b,'
    b'"boot_id":"other","staged_in":"x"}'
)


def _of_record(name: str, text: bytes, once: str = "") -> Row:
    return _row(f"record-{name}", _record, text, command=("status",), once=once)


_ESCAPE = b'"\\u001b[31m\\u009b\\u202e\\nerror: forged"'
_RECORDS = [
    _of_record("empty", b""),
    _of_record("text", b"<html>"),
    _of_record("not-utf8", b'{"a":"\xff"}', "a traceback: UnicodeDecodeError"),
    _of_record("null", b"null"),
    _of_record("list", b"[]"),
    _of_record("keys-missing", b"{}"),
    _of_record("numbers", _GOOD % (b"1", b"2", b"3", b"4")),
    _of_record("lists", _GOOD % (b"[]", b"{}", b"[[]]", b"null")),
    _of_record("escape", _GOOD % (_ESCAPE, _ESCAPE, _ESCAPE, _ESCAPE)),
    _of_record("nested", b'{"a":' * 20_000 + b"1" + b"}" * 20_000, "RecursionError"),
    _of_record("number-huge", b'{"serial":' + b"9" * 9000 + b"}", "ValueError"),
    _of_record("2-MiB", b'{"a":"' + b"x" * (2 * MIB) + b'"}'),
]


def _edit(name: str, text: bytes, refused: str, once: str = "") -> Row:
    def words(_ground: Ground, place: Path) -> Words:
        file = place / "edited.yaml"
        file.write_bytes(text)
        return ["edit", "--filename", file]

    return Row(id=f"edit-{name}", words=words, refused=refused, once=once)


_HEAD = b"apiVersion: org.containers.bootc/v1\nkind: BootcHost\n"
_EDITS = [
    _edit("empty", b"", "."),
    _edit("text", b"<html>", "."),
    _edit("not-utf8", _HEAD + b"spec: \xff\n", ".", "a traceback: UnicodeDecodeError"),
    _edit("nul", _HEAD + b"spec: \0\n", "."),
    _edit("list", b"- a\n", "."),
    _edit("spec-list", _HEAD + b"spec: []\n", "."),
    _edit("spec-text", _HEAD + b"spec: x\n", "spec"),
    _edit("unknown-key", _HEAD + b"spec:\n  x: 1\n", "spec.x"),
    _edit("python", _HEAD + b"spec: !!python/object/apply:os.system [reboot]\n", "."),
    _edit(
        "bomb",
        _HEAD
        + b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(
            b"%c: &%c [%b]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 108)
        )
        + b"spec: *k\n",
        ".",
    ),
    _edit("loop", _HEAD + b"spec: &a\n  image: *a\n", "."),
    _edit("nested", _HEAD + b"spec: " + b"[" * 5000 + b"]" * 5000, ".", "RecursionError"),
    _edit(
        "escape", _HEAD + b'spec:\n  image:\n    image: "q/\\e[31m"\n    transport: registry\n', "."
    ),
    _edit(
        "transport", _HEAD + b"spec:\n  image:\n    image: q/a\n    transport: floppy\n", "floppy"
    ),
    _edit("image-number", _HEAD + b"spec:\n  image:\n    image: 5\n    transport: registry\n", "."),
    _edit("order", _HEAD + b"spec:\n  bootOrder: sideways\n", "sideways"),
    _edit("2-MiB", _HEAD + b"#" * (2 * MIB) + b"\nspec: x\n", "."),
    _edit("two-documents", _HEAD + b"---\n" + _HEAD, "."),
    _edit("date", _HEAD + b"spec: 2026-99-99\n", ".", "a traceback: ValueError"),
    _edit("key-list", _HEAD + b"spec:\n  ? [a]\n  : b\n", "."),
    _edit("merge-key", _HEAD + b"spec:\n  <<: x\n", "."),
]

ROWS = [*_ORIGINS, *_ENTRIES, *_OTHER_ENTRIES, *_POLICIES, *_AUTHS, *_RECORDS, *_EDITS]


@pytest.mark.parametrize("row", ROWS, ids=attrgetter("id"))
def test_host_files(ground: Ground, row: Row) -> None:
    ground.check(row)
