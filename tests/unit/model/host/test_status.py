import pytest

from bootcpy.model.host.deployments import BootState, Deployment, ImageRecord, Unlocked
from bootcpy.model.host.document import (
    AccessMode,
    BootEntry,
    BootEntryOstree,
    BootOrder,
    Host,
    HostSpec,
    HostStatus,
    HostType,
    ImageStatus,
    Persistence,
    UsrOverlay,
)
from bootcpy.model.host.status import (
    boot_entry,
    booted_only,
    host_from_state,
    image_status,
    rfc3339_utc,
)
from bootcpy.model.image.reference import SignedImageReference
from tests.unit.model.host.states import (
    BOOTED_IMAGE,
    DIGEST_1,
    DIGEST_2,
    deployment,
    origin,
    record,
    state,
)

_IMAGE = SignedImageReference.parse(BOOTED_IMAGE)
_STAGED = deployment("aa", index=0, staged=True, digest=DIGEST_2)
_BOOTED = deployment("bb", index=1, booted=True)
_ROLLBACK = deployment("cc", index=2)
_PINNED = deployment("dd", index=3, pinned=True)
_FOREIGN = deployment("ee", index=4, stateroot="other")


def _placed(host: Host) -> dict[str, list[str]]:
    status = host.status
    slots: dict[str, tuple[BootEntry | None, ...]] = {
        "staged": (status.staged,),
        "booted": (status.booted,),
        "rollback": (status.rollback,),
        "others": status.other_deployments,
    }
    return {
        slot: [e.ostree.checksum for e in entries if e and e.ostree]
        for slot, entries in slots.items()
    }


@pytest.mark.parametrize(
    ("deployments", "expected"),
    [
        pytest.param((_BOOTED,), ["", "bb", "", ""], id="alone"),
        pytest.param((_STAGED, _BOOTED, _ROLLBACK), ["aa", "bb", "cc", ""], id="all three"),
        pytest.param(
            (_STAGED, _BOOTED, _ROLLBACK, _PINNED, _FOREIGN),
            ["aa", "bb", "cc", "dd ee"],
            id="siblings before other stateroots",
        ),
        pytest.param(
            (deployment("ff", stateroot="fresh", staged=True), _BOOTED),
            ["", "bb", "", "ff"],
            id="staged in another stateroot is no staged entry",
        ),
        pytest.param((_ROLLBACK, _FOREIGN), ["", "", "", "cc ee"], id="nothing booted"),
        pytest.param((), ["", "", "", ""], id="none"),
    ],
)
def test_host_from_state_places_each_deployment(
    deployments: tuple[Deployment, ...], expected: list[str]
) -> None:
    placed = _placed(host_from_state(state(*deployments)))
    assert [" ".join(slot) for slot in placed.values()] == expected


def test_host_from_state_describes_an_empty_state() -> None:
    assert host_from_state(BootState()) == Host(
        spec=HostSpec(image=None, boot_order=BootOrder.DEFAULT), status=HostStatus()
    )


def test_host_from_state_sees_a_queued_rollback() -> None:
    host = host_from_state(state(deployment("cc", index=0), deployment("bb", index=1, booted=True)))
    assert host.status.rollback_queued
    assert host.spec.boot_order is BootOrder.ROLLBACK


def test_host_from_state_follows_the_staged_image() -> None:
    switched = "ostree-unverified-registry:quay.io/example/other:1"
    staged = deployment("aa", staged=True, image=switched, digest=DIGEST_2)
    host = host_from_state(state(staged, _BOOTED))
    assert host.spec.image == SignedImageReference.parse(switched)
    assert host.status.type is HostType.BOOTC_HOST


def test_host_from_state_of_plain_ostree_has_no_type_and_no_image() -> None:
    plain = deployment("bb", booted=True, image=None, digest=None)
    host = host_from_state(state(plain))
    assert host.status.type is None
    assert host.spec.image is None
    assert host.status.booted is not None
    assert host.status.booted.image is None


@pytest.mark.parametrize(
    ("unlocked", "expected"),
    [
        (Unlocked.NONE, None),
        (Unlocked.DEVELOPMENT, (AccessMode.READ_WRITE, Persistence.TRANSIENT)),
        (Unlocked.HOTFIX, (AccessMode.READ_WRITE, Persistence.PERSISTENT)),
        (Unlocked.TRANSIENT, (AccessMode.READ_ONLY, Persistence.TRANSIENT)),
    ],
)
def test_host_from_state_tells_the_overlay_of_the_booted_one(
    unlocked: Unlocked, expected: tuple[AccessMode, Persistence] | None
) -> None:
    overlay = host_from_state(
        state(deployment(booted=True, unlocked=unlocked), read_only=True)
    ).status.usr_overlay
    assert overlay == (expected and UsrOverlay(access_mode=expected[0], persistence=expected[1]))


def test_boot_entry_has_every_field() -> None:
    update = record(DIGEST_2, labels={"version": "2"}, created="2026-02-01T00:00:00Z")
    entry = boot_entry(
        deployment(
            "aa",
            serial=7,
            staged=True,
            finalization_locked=True,
            pinned=True,
            soft_reboot_capable=True,
            image=BOOTED_IMAGE,
            cached_update=update,
        )
    )
    image = SignedImageReference.parse(BOOTED_IMAGE)
    assert entry == BootEntry(
        image=ImageStatus(
            image=image,
            version=None,
            timestamp=None,
            image_digest=DIGEST_1,
            architecture="amd64",
        ),
        cached_update=ImageStatus(
            image=image,
            version="2",
            timestamp="2026-02-01T00:00:00Z",
            image_digest=DIGEST_2,
            architecture="amd64",
        ),
        pinned=True,
        soft_reboot_capable=True,
        download_only=True,
        ostree=BootEntryOstree(stateroot="default", checksum="aa", deploy_serial=7),
    )


def test_boot_entry_of_a_layered_origin_is_incompatible_and_has_no_image() -> None:
    entry = boot_entry(deployment(origin=origin(layering=("packages",))))
    assert entry.incompatible
    assert entry.image is None


def test_image_status_survives_a_broken_configuration() -> None:
    broken = ImageRecord(manifest_digest=DIGEST_1, manifest_text="{", config_text="{")
    assert image_status(_IMAGE, broken) == ImageStatus(
        image=_IMAGE, version=None, timestamp=None, image_digest=DIGEST_1, architecture=""
    )


def test_image_status_prefers_the_labels() -> None:
    labels = {
        "version": "old",
        "org.opencontainers.image.version": "new",
        "org.opencontainers.image.created": "2026-01-02T03:04:05Z",
    }
    status = image_status(_IMAGE, record(labels=labels, created="2020-01-01T00:00:00Z"))
    assert (status.version, status.timestamp) == ("new", "2026-01-02T03:04:05Z")


def test_booted_only_keeps_the_others_and_the_spec() -> None:
    host = host_from_state(state(_STAGED, _BOOTED, _ROLLBACK, _PINNED))
    shown = booted_only(host)
    assert _placed(shown) == {"staged": [], "booted": ["bb"], "rollback": [], "others": ["dd"]}
    assert shown.spec == host.spec


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-10-14T19:22:15Z", "2023-10-14T19:22:15Z"),
        ("2023-10-14T19:22:15.42Z", "2023-10-14T19:22:15.420Z"),
        ("2023-10-14T19:22:15.000Z", "2023-10-14T19:22:15Z"),
        ("2023-10-14T19:22:15.123456Z", "2023-10-14T19:22:15.123456Z"),
        ("2023-10-14T19:22:15.1234567891Z", "2023-10-14T19:22:15.123456789Z"),
        ("2023-10-14T23:22:15.5-02:00", "2023-10-15T01:22:15.500Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("٢٠٢٣-10-14T19:22:15Z", None),
        ("2023-10-14T19:22:60Z", None),
        ("2023-10-14T19:22:15", None),
        ("2023-13-14T19:22:15Z", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_rfc3339_utc_prints_as_bootc_does(text: str | None, expected: str | None) -> None:
    assert rfc3339_utc(text) == expected
