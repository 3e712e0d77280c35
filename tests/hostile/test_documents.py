"""Manifests, configurations and indexes that are odd in every field."""

import json
from operator import attrgetter
from typing import Any

import pytest

from tests.hostile.ground import Ground, Row, switch
from tests.hostile.images import (
    ARCHITECTURE,
    BASE,
    CONFIG,
    GONE,
    INDEX,
    MANIFEST,
    MIB,
    ZEROS,
    Layout,
    layer,
)
from tests.layers import file

_MALFORMED = "malformed|cannot open|there is no image|not valid|is not|truncated or not an image"
_DEEP = 20_000


def _row(name: str, refused: str = "", once: str = "", **changes: Any) -> Row:  # noqa: ANN401 - fields of Layout
    # A layer that no other row has: what is here already is not looked at.
    extra = layer(file("usr/extra", name.encode()))
    copies = changes.pop("copies", 1)
    if callable(changes.get("config")):
        changes["config"] = changes["config"](extra)
    words = switch(Layout((BASE, *[extra] * copies), **changes))
    tree = {} if refused else {"usr/extra": f"-00644 0 0 {len(name.encode())}"}
    return Row(id=name, words=words, refused=refused, tree=tree, once=once)


def _nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


# What stands for any field: of another type than it should, or of no sane size.
_ODD: dict[str, Any] = {
    "null": None,
    "true": True,
    "number": 5,
    "negative": -1,
    "float": 0.5,
    "huge": 10**40,
    "empty-text": "",
    "text": "x",
    "escape": "\x1b[31m\x9b2J\u202e\nerror: forged",
    "list": [],
    "list-of-lists": [[[]]],
    "table": {},
}


def _rdiffs(*diff_ids: object) -> dict[str, Any]:
    return {"rootfs": {"type": "layers", "diff_ids": list(diff_ids)}}


def _of_manifest() -> list[Row]:
    rows = [
        _row("manifest-empty", _MALFORMED, manifest=b""),
        _row("manifest-text", _MALFORMED, manifest=b"<html>no such page</html>"),
        _row("manifest-not-utf8", _MALFORMED, manifest=b'{"a":"\xff"}'),
        _row("manifest-null", _MALFORMED, manifest=b"null"),
        _row("manifest-list", _MALFORMED, manifest=b"[]"),
        _row("manifest-nested", _MALFORMED, manifest=_nested(_DEEP)),
        _row("manifest-5-MiB", _MALFORMED, manifest=b'"' + b"x" * (5 * MIB) + b'"'),
        _row("manifest-nul", _MALFORMED, manifest=b'{"schemaVersion":2\0}'),
        _row("manifest-schema-1", manifest={"schemaVersion": 1}),
        _row("manifest-media-type-index", manifest={"mediaType": INDEX}),
        _row("manifest-without-media-type", manifest={"mediaType": GONE}),
        _row("manifest-config-gone", _MALFORMED, manifest={"config": GONE}),
        _row("manifest-layers-gone", ".", manifest={"layers": GONE}),
        _row("manifest-no-layers", "no layers|layers, its", manifest={"layers": []}),
        _row("manifest-unknown-key", manifest={"x": {"y": ["z"]}}),
        _row("manifest-annotation-number", _MALFORMED, manifest={"annotations": {"a": 5}}),
        _row(
            "manifest-annotations-many",
            manifest={"annotations": {f"k{n}": "x" * 50 for n in range(3000)}},
        ),
        _row(
            "manifest-created-odd",
            manifest={"annotations": {"org.opencontainers.image.created": "99999-13-45"}},
        ),
        _row(
            "manifest-subject",
            manifest={"subject": {"mediaType": MANIFEST, "digest": ZEROS, "size": 1}},
        ),
        _row("config-digest-wrong", "there is no image", config_descriptor={"digest": ZEROS}),
        _row("config-digest-short", ".", config_descriptor={"digest": "sha256:00"}),
        _row("config-digest-path", ".", config_descriptor={"digest": "sha256:../../../etc/passwd"}),
        _row("config-digest-sha512", ".", config_descriptor={"digest": "sha512:" + "0" * 128}),
        _row("config-digest-odd", ".", config_descriptor={"digest": "md5:00"}),
        _row("config-size-wrong", config_descriptor={"size": 1}),
        _row("layer-digest-wrong", "0000", layer_descriptor={"digest": ZEROS}),
        _row("layer-digest-path", ".", layer_descriptor={"digest": "sha256:../../index.json"}),
        _row("layer-digest-upper", ".", layer_descriptor={"digest": "sha256:" + "A" * 64}),
        _row("layer-digest-gone", ".", layer_descriptor={"digest": GONE}),
        _row("layer-size-smaller", ".", layer_descriptor={"size": 1}),
        _row("layer-size-larger", ".", layer_descriptor={"size": 99_999}),
        _row("layer-size-zero", ".", layer_descriptor={"size": 0}),
        _row("layer-size-negative", ".", layer_descriptor={"size": -5}),
        _row("layer-size-2^62", ".", layer_descriptor={"size": 1 << 62}),
        _row("layer-size-gone", ".", layer_descriptor={"size": GONE}),
        _row("layer-media-type-gone", layer_descriptor={"mediaType": GONE}),
        _row("layer-urls", layer_descriptor={"urls": ["http://127.0.0.1:1/x"]}),
        _row("layer-data", layer_descriptor={"data": "e30="}),
        _row(
            "layer-foreign",
            layer_descriptor={
                "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                "urls": ["file:///etc/passwd"],
            },
        ),
        _row("same-layer-twice", copies=2),
        _row("same-layer-300-times", copies=300),
    ]
    for key in ("schemaVersion", "config", "layers", "annotations"):
        for name, value in _ODD.items():
            if (key, name) in _HARMLESS:
                continue
            rows.append(_row(f"manifest-{key}-{name}", ".", manifest={key: value}))
    for key in ("digest", "size"):
        rows.extend(
            _row(f"layer-{key}-{name}", ".", layer_descriptor={key: _ODD[name]})
            for name in ("null", "list", "float", "huge", "escape")
        )
    return rows


_HARMLESS = {
    ("annotations", "null"),
    ("annotations", "table"),
    ("schemaVersion", "null"),
    ("schemaVersion", "number"),
    ("schemaVersion", "negative"),
}


def _of_config() -> list[Row]:
    rows = [
        _row("config-empty", _MALFORMED, config=b""),
        _row("config-text", _MALFORMED, config=b"<html>"),
        _row("config-not-utf8", _MALFORMED, config=b'{"a":"\xff"}'),
        _row("config-null", ".", config=b"null"),
        _row("config-list", _MALFORMED, config=b"[]"),
        _row("config-nested", _MALFORMED, config=_nested(_DEEP)),
        _row("config-9-MiB", ".", config={"x": "y" * (9 * MIB)}),
        _row("config-1-MiB", config={"x": "y" * MIB}),
        _row("config-two-documents", _MALFORMED, config=b"{}{}"),
        _row("config-lone-surrogate", config={"author": "\ud800"}),
        _row("config-number-huge", ".", config=b'{"x":' + b"9" * 5000 + b"}"),
        _row("architecture-gone", "architecture", config={"architecture": GONE}),
        _row(
            "architecture-other", "architecture s390x; expected", config={"architecture": "s390x"}
        ),
        _row("architecture-case", "architecture", config={"architecture": ARCHITECTURE.upper()}),
        _row("os-other", config={"os": "plan9"}),
        _row("os-gone", config={"os": GONE}),
        _row("config-part-gone", "containers.bootc", config={"config": GONE}),
        _row("labels-null", "containers.bootc", config={"config": {"Labels": None}}),
        _row("labels-list", ".", config={"config": {"Labels": []}}),
        _row("labels-text", ".", config={"config": {"Labels": "containers.bootc"}}),
        _row("label-gone", "no label containers.bootc", labels={"containers.bootc": GONE}),
        _row("label-number", ".", labels={"containers.bootc": 1}),
        _row("label-null", labels={"x": None}),
        _row("labels-3000", labels={f"k{n}": "v" * 100 for n in range(3000)}),
        _row("final-diffid-of-none", "names no layer", labels={"ostree.final-diffid": ZEROS}),
        _row("final-diffid-list", ".", labels={"ostree.final-diffid": ["x"]}),
        _row("rootfs-gone", "layers", config={"rootfs": GONE}),
        _row(
            "rootfs-type-odd",
            config=lambda extra: _rdiffs(BASE.diff_id, extra.diff_id) | {"type": "x"},
        ),
        _row("diff-ids-none", "manifest has 2 layers, its configuration 0", config=_rdiffs()),
        _row("diff-ids-too-few", "2 layers, its configuration 1", config=_rdiffs(BASE.diff_id)),
        _row(
            "diff-ids-too-many",
            "2 layers, its configuration 3",
            config=_rdiffs(BASE.diff_id, ZEROS, ZEROS),
        ),
        _row("diff-id-wrong", "sha256:0000", config=_rdiffs(BASE.diff_id, ZEROS)),
        _row(
            "diff-ids-swapped", "diff_id", config=lambda extra: _rdiffs(extra.diff_id, BASE.diff_id)
        ),
        _row("diff-id-number", ".", config=_rdiffs(BASE.diff_id, 5)),
        _row("diff-id-null", ".", config=_rdiffs(BASE.diff_id, None)),
        _row("diff-id-list", ".", config=_rdiffs(BASE.diff_id, [])),
        _row("diff-id-empty", ".", config=_rdiffs(BASE.diff_id, "")),
        _row("diff-id-escape", ".", config=_rdiffs(BASE.diff_id, "\x1b[31mx")),
        _row(
            "diff-id-upper",
            "diff_id|diff-id|digest",
            config=lambda extra: _rdiffs(BASE.diff_id, extra.diff_id.upper()),
        ),
        _row("history-odd", ".", config={"history": "x"}),
        _row("history-3000", config={"history": [{"created_by": "x"}] * 3000}),
    ]
    for when in (
        "",
        "x",
        "2026",
        "99999-01-01T00:00:00Z",
        "0000-00-00T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2026-10-14T19:22:15.999999999999Z",
        "2026-10-14T19:22:15\x1b[31m",
    ):
        readable = when.startswith(("0001", "9999-", "2026-10-14T19:22:15.9"))
        rows.append(_row(f"created-{when!a}", "" if readable else ".", config={"created": when}))
    for key in ("architecture", "config", "rootfs", "created"):
        for name, value in _ODD.items():
            if key == "created" or (key, name) == ("config", "table"):
                continue
            rows.append(_row(f"config-{key}-{name}", ".", config={key: value}))
    rows += [
        _row(f"created-{name}", "" if name == "null" else ".", config={"created": value})
        for name, value in _ODD.items()
        if name not in {"text", "escape"}
    ]
    return rows


def _of_index() -> list[Row]:
    entry = {"mediaType": MANIFEST, "digest": ZEROS, "size": 1}
    return [
        _row("index-empty", _MALFORMED, index=b""),
        _row("index-text", _MALFORMED, index=b"<html>"),
        _row("index-no-manifests", ".", index={"manifests": []}),
        _row("index-manifests-gone", ".", index={"manifests": GONE}),
        _row("index-of-nothing", ".", index={"manifests": [entry]}),
        _row("index-two", ".", index={"manifests": [entry, entry]}),
        _row("index-nested", _MALFORMED, index=_nested(_DEEP)),
        _row("index-9-MiB", _MALFORMED, index=b'"' + b"x" * (9 * MIB) + b'"'),
        _row("index-entry-size-wrong", manifest_descriptor={"size": 5}),
        _row("index-entry-digest-wrong", ".", manifest_descriptor={"digest": ZEROS}),
        _row("index-entry-digest-path", ".", manifest_descriptor={"digest": "sha256:../../x"}),
        _row("index-entry-is-config", ".", manifest_descriptor={"mediaType": CONFIG}),
        _row("index-entry-is-index", ".", manifest_descriptor={"mediaType": INDEX}),
        _row("index-entry-type-odd", ".", manifest_descriptor={"mediaType": "image/png"}),
        _row("index-entry-type-gone", manifest_descriptor={"mediaType": GONE}),
        _row("index-schema-9", index={"schemaVersion": 9}),
        _row("index-unknown-key", index=json.loads('{"a": {"b": 1}}')),
    ]


ROWS = [*_of_manifest(), *_of_config(), *_of_index()]


@pytest.mark.parametrize("row", ROWS, ids=attrgetter("id"))
def test_documents(ground: Ground, row: Row) -> None:
    ground.check(row)
