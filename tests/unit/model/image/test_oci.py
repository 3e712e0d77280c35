"""Manifests and configurations: parsing, classification, requirements."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from bootcpy.errors import ImageContentError
from bootcpy.model.image.oci import (
    LABEL_FINAL_DIFFID,
    Descriptor,
    ImageConfig,
    Layer,
    Manifest,
    canonical_json,
    classify_layers,
    commit_timestamp,
    parse_timestamp,
    require_diff_id,
)
from tests.refusals import refused
from tests.unit.model.host.states import digest_of

_AGAIN = "build or pull the image again"
_TAMPERED = "the image was tampered with; do not use it"


def _descriptor(digest: str, size: int = 1) -> dict[str, Any]:
    return {"mediaType": "application/x", "digest": digest_of(digest), "size": size}


def _manifest(*layers: str, **more: object) -> Manifest:
    raw = {"config": _descriptor("c"), "layers": [_descriptor(layer) for layer in layers], **more}
    return Manifest.parse(json.dumps(raw))


def _config(*diff_ids: str, labels: dict[str, str] | None = None, **more: object) -> ImageConfig:
    raw = {
        "architecture": "amd64",
        "config": {"Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(each) for each in diff_ids]},
        **more,
    }
    return ImageConfig.parse(json.dumps(raw))


def test_manifest_parse() -> None:
    raw = {
        "schemaVersion": 2,
        "config": _descriptor("c", 7),
        "layers": [{**_descriptor("1", 5), "annotations": {"ostree.components": "a"}}],
        "annotations": {"org.opencontainers.image.created": "2026-01-01T00:00:00Z"},
    }
    parsed = Manifest.parse(json.dumps(raw))
    assert parsed.config == Descriptor(
        media_type="application/x", digest=digest_of("c"), size_bytes=7
    )
    (layer,) = parsed.layers
    assert (layer.digest, layer.size_bytes) == (digest_of("1"), 5)
    assert layer.annotations == {"ostree.components": "a"}
    assert parsed.annotations == raw["annotations"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"config": {}, "layers": []}',
        '{"config": {"digest": "c", "size": "x"}, "layers": []}',
        '{"manifests": [], "schemaVersion": 2}',
        '{"config": {"digest": "c", "size": 1}, "layers": {"a": 1}}',
        '{"config": {"digest": "c", "size": 1}, "layers": ["a"]}',
        '{"config": "c", "layers": ["a"]}',
        '{"config": {"digest": "c", "size": 1}, "layers": [], "annotations": 5}',
    ],
)
def test_manifest_parse_refuses(text: str) -> None:
    with pytest.raises(ImageContentError, match=r"manifest is malformed|has no layers"):
        Manifest.parse(text)


_LONG = "x" * 300


def _layer(**changes: object) -> dict[str, Any]:
    """Return a manifest's layers, one with `changes`."""
    return {"layers": [{**_descriptor("1"), **changes}]}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"config": None}, "config is not an object"),
        ({"config": {"size": 1}}, "config.digest is not a sha256 digest: null"),
        ({"config": {"digest": digest_of("c")}}, "config.size is missing"),
        ({"layers": {"a": 1}}, "layers is not a list: an object"),
        ({"layers": ["a"]}, "layers[0] is not an object"),
        ({"layers": [_descriptor("1", -1)]}, "layers[0].size is not the size of a blob: -1"),
        (
            {"layers": [_descriptor("1", 2**63)]},
            f"layers[0].size is not the size of a blob: {2**63}",
        ),
        (
            {"layers": [{**_descriptor("1"), "size": True}]},
            "layers[0].size is not a whole number: true",
        ),
        (
            {"layers": [{**_descriptor("1"), "size": 1.5}]},
            "layers[0].size is not a whole number: 1.5",
        ),
        (
            {"layers": [{**_descriptor("1"), "size": "1"}]},
            "layers[0].size is not a whole number: '1'",
        ),
        (
            {"layers": [_descriptor("1"), {"size": 1, "digest": "sha256:../../x"}]},
            "layers[1].digest is not a sha256 digest: 'sha256:../../x'",
        ),
        (
            _layer(digest=digest_of("j").upper()),
            f"layers[0].digest is not a sha256 digest: '{digest_of('j').upper()}'",
        ),
        (
            _layer(digest=digest_of("1") + "\n"),
            f"layers[0].digest is not a sha256 digest: '{digest_of('1')}\\n'",
        ),
        ({"layers": [_descriptor("1")] * 4097}, "layers has 4,097 members, more than 4,096"),
        (
            {"layers": [{**_descriptor("1"), "mediaType": 1}]},
            "layers[0].mediaType is not a string: 1",
        ),
        (
            _layer(mediaType=_LONG),
            f"layers[0].mediaType is longer than 256 characters: '{78 * 'x'}…",
        ),
        ({"annotations": 5}, "annotations is not an object"),
        ({"annotations": {"a\x1b": 5}}, "annotations.a\\x1b is not a string: 5"),
        (
            {"annotations": {str(n): "" for n in range(10_001)}},
            "annotations has more than 10,000 members",
        ),
        (
            {"annotations": {"a": "x" * (2 << 20)}},
            "annotations is longer than 2,097,152 characters",
        ),
        ({"more": "x" * (4 << 20)}, "it is longer than 4,194,304 characters"),
    ],
)
def test_manifest_parse_names_the_field(changes: dict[str, Any], problem: str) -> None:
    raw = {"config": _descriptor("c"), "layers": [_descriptor("1")], **changes}
    with refused(ImageContentError, hint=_AGAIN) as caught:
        Manifest.parse(json.dumps(raw))
    assert caught.value.message == f"the image's manifest is malformed: {problem}"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ({"architecture": ["amd64"]}, "architecture is not a string: a list"),
        ({"architecture": _LONG}, f"architecture is longer than 256 characters: '{78 * 'x'}…"),
        ({"created": 5}, "created is not a string: 5"),
        ({"config": []}, "config is not an object"),
        ({"config": {"Labels": {"version": 13}}}, "config.Labels.version is not a string: 13"),
        ({"config": {"Labels": {"version": None}}}, "config.Labels.version is missing"),
        ({"rootfs": {"diff_ids": "x"}}, "rootfs.diff_ids is not a list: 'x'"),
        ({"rootfs": {"diff_ids": [5]}}, "rootfs.diff_ids[0] is not a sha256 digest: 5"),
        (
            {"rootfs": {"diff_ids": ["sha256:a"]}},
            "rootfs.diff_ids[0] is not a sha256 digest: 'sha256:a'",
        ),
        (
            {"rootfs": {"diff_ids": [5] * 4097}},
            "rootfs.diff_ids has 4,097 members, more than 4,096",
        ),
        ({"history": {"a": 1}}, "history is not a list: an object"),
        ({"history": [5]}, "history[0] is not an object"),
    ],
)
def test_image_config_parse_names_the_field(raw: dict[str, Any], problem: str) -> None:
    with pytest.raises(ImageContentError) as caught:
        ImageConfig.parse(json.dumps(raw))
    assert caught.value.message == f"the image's configuration is malformed: {problem}"


@pytest.mark.parametrize("parse", [Manifest.parse, ImageConfig.parse])
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 200_000, "it is nested deeper than 64 levels"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": "\\ud800"}', "a string has an incomplete surrogate pair"),
        ('{"layers": [], "layers": []}', "the key 'layers' occurs twice"),
    ],
    ids=lambda text: text[:30],
)
def test_parse_refuses_json_that_others_read_otherwise(
    parse: Callable[[str], object], text: str, problem: str
) -> None:
    with pytest.raises(ImageContentError, match=re.escape(problem)):
        parse(text)


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "5", '{"config": 5}', '{"config": {"Labels": 5}}', '{"rootfs": []}']
)
def test_image_config_parse_refuses_or_finds_nothing(text: str) -> None:
    try:
        found = ImageConfig.parse(text)
    except ImageContentError as e:
        assert "configuration is malformed" in e.message  # noqa: PT017 - either is right
    else:
        assert (found.diff_ids, found.labels) == ((), {})


@pytest.mark.parametrize(
    ("labels", "version"),
    [
        ({}, None),
        ({"version": "1"}, "1"),
        ({"org.opencontainers.image.version": "2", "version": "1"}, "2"),
    ],
)
def test_version(labels: dict[str, str], version: str | None) -> None:
    assert _config(labels=labels).version == version


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-10-14T19:22:15Z", "2026-10-14T19:22:15+00:00"),
        ("2026-10-14T19:22:15.420000001Z", "2026-10-14T19:22:15.420000+00:00"),
        ("2026-10-14T21:22:15+02:00", "2026-10-14T21:22:15+02:00"),
        ("2026-10-14T19:22:15", "2026-10-14T19:22:15+00:00"),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_parse_timestamp(text: str | None, expected: str | None) -> None:
    found = parse_timestamp(text)
    assert (found.isoformat() if found else None) == expected


@pytest.mark.parametrize(
    ("annotations", "created", "expected"),
    [
        ({}, None, None),
        ({}, "1970-01-01T00:01:00Z", 60),
        ({"org.opencontainers.image.created": "1970-01-01T00:02:00Z"}, "x", 120),
        ({}, "nonsense", None),
        ({}, "0001-01-01T00:00:00Z", 0),
        ({}, "0001-01-01T00:00:00+14:00", 0),
        ({}, "9999-12-31T23:59:59-14:00", 253402351199),
    ],
)
def test_commit_timestamp(
    annotations: dict[str, str], created: str | None, expected: int | None
) -> None:
    manifest = _manifest("1", annotations=annotations)
    assert commit_timestamp(manifest, _config("d", created=created)) == expected


def test_timestamp_prefers_the_label() -> None:
    label = {"org.opencontainers.image.created": "2020-01-01T00:00:00Z"}
    found = _config(labels=label, created="2026-01-01T00:00:00Z").timestamp
    assert found is not None
    assert found.year == 2020


def test_canonical_json() -> None:
    assert canonical_json('{ "b": [1, 2],\n "a": "é" }') == '{"a":"é","b":[1,2]}'


# -------------------------------------------------------------------------- classification


def _names(layers: tuple[Layer, ...]) -> list[str]:
    return [_name(layer.blob.digest) for layer in layers]


def _name(digest: str) -> str:
    """Undo `digest_of`."""
    return bytes.fromhex(digest.removeprefix("sha256:").lstrip("0")).decode()


@pytest.mark.parametrize(
    ("final", "commit", "chunks", "derived"),
    [
        (None, None, [], ["1", "2", "3"]),
        ("d1", "1", [], ["2", "3"]),
        ("d2", "1", ["2"], ["3"]),
        ("d3", "1", ["2", "3"], []),
    ],
)
def test_classify_layers(
    final: str | None, commit: str | None, chunks: list[str], derived: list[str]
) -> None:
    labels = {LABEL_FINAL_DIFFID: digest_of(final)} if final else None
    plan = classify_layers(_manifest("1", "2", "3"), _config("d1", "d2", "d3", labels=labels))
    assert (_name(plan.commit.blob.digest) if plan.commit else None) == commit
    assert _names(plan.chunks) == chunks
    assert _names(plan.derived) == derived


@pytest.mark.parametrize(
    ("layers", "diff_ids", "final", "message", "hint"),
    [
        (["1", "2"], ["d1"], None, "2 layers, its configuration 1", _AGAIN),
        (["1"], [], None, "1 layers, its configuration 0", _AGAIN),
        (["1"], ["d1"], "d9", "names no layer: sha256:0+6439", _AGAIN),
        (["1", "2", "2"], ["d1", "d2", "d2"], "d2", "multiple layers", _AGAIN),
        (
            ["1", "2", "2"],
            ["d1", "d2", "d3"],
            None,
            f"layer {digest_of('2')} the diff_id {digest_of('d2')}, and",
            _TAMPERED,
        ),
        (
            ["2", "1", "2"],
            ["d1", "d2", "d3"],
            "d1",
            f"layer {digest_of('2')} the diff_id {digest_of('d1')}, and",
            _TAMPERED,
        ),
    ],
)
def test_classify_layers_refuses(
    layers: list[str], diff_ids: list[str], final: str | None, message: str, hint: str
) -> None:
    labels = {LABEL_FINAL_DIFFID: digest_of(final)} if final else None
    with refused(ImageContentError, message, hint=hint):
        classify_layers(_manifest(*layers), _config(*diff_ids, labels=labels))


def test_classify_layers_takes_one_tar_in_two_blobs_and_one_blob_twice() -> None:
    plan = classify_layers(_manifest("1", "2", "1"), _config("d", "d", "d"))
    assert _names(plan.derived) == ["1", "2", "1"]


def test_require_diff_id_names_both_and_the_layer() -> None:
    layer = classify_layers(_manifest("blob"), _config("right")).derived[0]
    right, wrong = digest_of("right"), digest_of("wrong")
    require_diff_id(right, layer)
    said = rf"layer {layer.blob.digest} has diff_id {wrong}, .* says {right}"
    with refused(
        ImageContentError,
        said,
        hint="the image is corrupt or was tampered with; pull or build it again",
    ):
        require_diff_id(wrong, layer)
