import dataclasses
import json
from dataclasses import replace

import pytest

from bootcpy.errors import ConfigurationError
from bootcpy.model.host.deployments import Deployment
from bootcpy.model.host.staged_record import Arrival, Fate, StagedRecord, judge_arrival
from tests.unit.model.host.states import DIGEST_1, DIGEST_2, deployment

_OLD, _NEW = deployment("0ld"), deployment("new", digest=DIGEST_2)
_OTHER = deployment("other")
_RECORD = StagedRecord.of(_NEW, _OLD, boot_id="boot 1", staged_at="2026-11-20T21:03:00Z")
_WHAT = f"the update to docker://quay.io/example/os:latest ({DIGEST_2}), staged"
_WHEN = f"{_WHAT} 2026-11-20T21:03:00Z,"
_AGAIN = "run `bootc upgrade` to stage it again"
_SWITCH_AGAIN = "run the same `bootc switch` to stage it again"


def _order(*deployments: Deployment, booted: Deployment) -> tuple[Deployment, ...]:
    return tuple(
        replace(each, index=index, booted=each is booted) for index, each in enumerate(deployments)
    )


def _lost(what: str, reason: str) -> Arrival:
    return Arrival(
        fate=Fate.LOST, message=f"{what} was not applied: {reason}", hint=_AGAIN, reason=reason
    )


_POWER = "the system was not shut down normally, for example because of a power cut"


@pytest.mark.parametrize(
    ("record", "deployments", "failure", "expected"),
    [
        pytest.param(
            None, _order(_OLD, booted=_OLD), None, Arrival(fate=Fate.UNKNOWN), id="no record"
        ),
        pytest.param(
            replace(_RECORD, boot_id="boot 2"),
            _order(_NEW, _OLD, booted=_OLD),
            "of an older one",
            Arrival(fate=Fate.UNKNOWN),
            id="staged in this boot",
        ),
        pytest.param(
            _RECORD, _order(_NEW, _OLD, booted=_NEW), None, Arrival(fate=Fate.ARRIVED), id="arrived"
        ),
        pytest.param(
            replace(_RECORD, boot_id="boot 2"),
            _order(_NEW, _OLD, booted=_NEW),
            None,
            Arrival(fate=Fate.ARRIVED),
            id="arrived by a soft reboot",
        ),
        pytest.param(
            replace(_RECORD, boot_id="boot 2"),
            _order(_OTHER, _OLD, booted=_OTHER),
            None,
            Arrival(fate=Fate.SET_ASIDE),
            id="a soft reboot has entered something else",
        ),
        pytest.param(
            _RECORD, _order(_OLD, booted=_OLD), None, _lost(_WHEN, _POWER), id="power failure"
        ),
        pytest.param(
            _RECORD,
            _order(_OLD, booted=_OLD),
            "error: Merging /etc:\n no space\n",
            _lost(_WHEN, "Merging /etc: no space"),
            id="failure",
        ),
        pytest.param(
            replace(_RECORD, reason="known"),
            _order(_OLD, booted=_OLD),
            None,
            _lost(_WHEN, "known"),
            id="a boot later",
        ),
        pytest.param(
            None,
            _order(_OLD, booted=_OLD),
            "no space",
            _lost("an update that was staged", "no space"),
            id="staged by another program",
        ),
        pytest.param(
            _RECORD,
            _order(_OTHER, _OLD, booted=_OTHER),
            None,
            Arrival(fate=Fate.SET_ASIDE),
            id="another program staged something else",
        ),
        pytest.param(
            _RECORD,
            _order(_OLD, _NEW, booted=_OLD),
            None,
            Arrival(fate=Fate.SET_ASIDE),
            id="finished, then reordered",
        ),
        pytest.param(
            _RECORD,
            _order(_NEW, _OLD, booted=_OLD),
            None,
            Arrival(
                fate=Fate.PASSED_OVER,
                message=f"{_WHEN} is installed, but another deployment was booted",
                hint="reboot to run it, or run `bootc rollback` to keep the booted deployment",
            ),
            id="another was chosen in the menu",
        ),
        pytest.param(
            _RECORD,
            _order(replace(_NEW, serial=1), _OLD, booted=_OLD),
            None,
            _lost(_WHEN, _POWER),
            id="the same commit deployed otherwise",
        ),
    ],
)
def test_judge_arrival(
    record: StagedRecord | None,
    deployments: tuple[Deployment, ...],
    failure: str | None,
    expected: Arrival,
) -> None:
    assert judge_arrival(record, deployments, boot_id="boot 2", failure=failure) == expected


def test_a_record_survives_the_disk() -> None:
    assert StagedRecord.parse(_RECORD.to_text()) == _RECORD


def test_a_record_names_an_ostree_commit_by_its_ref() -> None:
    plain = deployment("new", image=None, digest=None)
    record = StagedRecord.of(plain, _OLD, boot_id="x", staged_at="y")
    assert (record.image, record.digest) == ("an ostree commit", "new")
    assert _OLD.image is not None
    assert _OLD.image.manifest_digest == DIGEST_1


_ODD = dataclasses.asdict(_RECORD)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '"x"',
        '{"image": 1}',
        "[" * 200_000,
        json.dumps({**_ODD, "serial": "1"}),
        json.dumps({**_ODD, "reason": 5}),
        json.dumps({**_ODD, "staged_at": None}),
    ],
    ids=lambda text: text[:30],
)
def test_parse_refuses_what_is_no_record(text: str) -> None:
    with pytest.raises(ConfigurationError, match="malformed"):
        StagedRecord.parse(text)


def test_a_lost_switch_is_not_repeated_by_an_upgrade() -> None:
    record = replace(_RECORD, image="docker://quay.io/example/another:latest")
    arrival = judge_arrival(record, _order(_OLD, booted=_OLD), boot_id="boot 2", failure=None)
    assert (arrival.fate, arrival.hint) == (Fate.LOST, _SWITCH_AGAIN)
