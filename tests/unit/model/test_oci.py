"""Manifests and configurations: parsing, classification, requirements."""

import json
from typing import Any

import pytest

from bootcpy.errors import ImageContentError
from bootcpy.model.oci import (
    LABEL_FINAL_DIFFID,
    Descriptor,
    ImageConfig,
    Layer,
    Manifest,
    canonical_json,
    classify_layers,
    commit_timestamp,
    parse_timestamp,
    require_bootable,
    require_diff_id,
)


def _descriptor(digest: str, size: int = 1) -> dict[str, Any]:
    return {"mediaType": "application/x", "digest": digest, "size": size}


def _manifest(*layers: str, **more: object) -> Manifest:
    raw = {"config": _descriptor("c"), "layers": [_descriptor(layer) for layer in layers], **more}
    return Manifest.parse(json.dumps(raw))


def _config(*diff_ids: str, labels: dict[str, str] | None = None, **more: object) -> ImageConfig:
    raw = {
        "architecture": "amd64",
        "config": {"Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        **more,
    }
    return ImageConfig.parse(json.dumps(raw))


def test_manifest_parse() -> None:
    raw = {
        "schemaVersion": 2,
        "config": _descriptor("sha256:c", 7),
        "layers": [{**_descriptor("sha256:1", 5), "annotations": {"ostree.components": "a"}}],
        "annotations": {"org.opencontainers.image.created": "2026-01-01T00:00:00Z"},
    }
    parsed = Manifest.parse(json.dumps(raw))
    assert parsed.config == Descriptor(media_type="application/x", digest="sha256:c", size_bytes=7)
    (layer,) = parsed.layers
    assert (layer.digest, layer.size_bytes) == ("sha256:1", 5)
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
    return [layer.blob.digest for layer in layers]


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
    labels = {LABEL_FINAL_DIFFID: final} if final else None
    plan = classify_layers(_manifest("1", "2", "3"), _config("d1", "d2", "d3", labels=labels))
    assert (plan.commit.blob.digest if plan.commit else None) == commit
    assert _names(plan.chunks) == chunks
    assert _names(plan.derived) == derived
    assert _names(plan.all) == ["1", "2", "3"]
    assert [layer.diff_id for layer in plan.all] == ["d1", "d2", "d3"]


@pytest.mark.parametrize(
    ("layers", "diff_ids", "final", "message"),
    [
        (["1", "2"], ["d1"], None, "2 layers, its configuration 1"),
        (["1"], [], None, "1 layers, its configuration 0"),
        (["1"], ["d1"], "d9", "names no layer: d9"),
        (["1", "2", "2"], ["d1", "d2", "d2"], "d2", "multiple layers"),
    ],
)
def test_classify_layers_refuses(
    layers: list[str], diff_ids: list[str], final: str | None, message: str
) -> None:
    labels = {LABEL_FINAL_DIFFID: final} if final else None
    with pytest.raises(ImageContentError, match=message):
        classify_layers(_manifest(*layers), _config(*diff_ids, labels=labels))


@pytest.mark.parametrize("label", ["containers.bootc", "ostree.bootable"])
@pytest.mark.parametrize("value", ["1", "true", ""])
def test_require_bootable_takes_either_label_with_any_value(label: str, value: str) -> None:
    require_bootable(_config(labels={label: value}), machine="x86_64", name="a")


@pytest.mark.parametrize(
    ("labels", "machine", "message"),
    [
        ({}, "x86_64", "oci:/a is not a bootable image"),
        ({"containers.bootc": "1"}, "aarch64", "architecture amd64; expected arm64"),
        ({"containers.bootc": "1"}, "vax", "architecture amd64; expected vax"),
    ],
)
def test_require_bootable_refuses(labels: dict[str, str], machine: str, message: str) -> None:
    with pytest.raises(ImageContentError, match=message) as refused:
        require_bootable(_config(labels=labels), machine=machine, name="oci:/a")
    assert refused.value.hint


def test_require_diff_id_names_both_and_the_layer() -> None:
    layer = classify_layers(_manifest("blob"), _config("right")).derived[0]
    require_diff_id("right", layer)
    with pytest.raises(ImageContentError, match=r"layer blob has diff_id wrong, .* says right"):
        require_diff_id("wrong", layer)
