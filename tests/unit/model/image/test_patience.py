import pytest

from bootcpy.errors import BootcpyError
from bootcpy.model.image.patience import Waiting, explain_stall, parse_stall_timeout
from bootcpy.model.image.reference import ImageReference
from tests.refusals import refused

IMAGE = ImageReference.parse("docker://quay.io/example/os:1")
KIB = 1024


@pytest.mark.parametrize(
    ("text", "seconds"), [(None, 90), ("", 90), ("5", 5), ("0", None), ("000", None), ("010", 10)]
)
def test_the_timeout_is_a_number_of_seconds(text: str | None, seconds: int | None) -> None:
    assert parse_stall_timeout(text) == seconds


@pytest.mark.parametrize("text", ["9s", "-1", "1.5", "٣", "٩0", " 5", "5\n", "never", "9" * 5000])
def test_anything_else_is_refused(text: str) -> None:
    with refused(
        BootcpyError,
        "BOOTC_STALL_TIMEOUT is",
        hint="set it to a whole number (0 means no timeout), or unset it",
    ):
        parse_stall_timeout(text)


# What is seen every half second, from the first on: (bytes so far, whether some wait for us).
@pytest.mark.parametrize(
    ("looks", "stalled"),
    [
        pytest.param([(0, False)] * 20, True, id="nothing comes"),
        pytest.param([(0, False)] * 19, False, id="not yet"),
        pytest.param([(5_000_000, False)] * 21, True, id="nothing more comes"),
        pytest.param([(5_000_000, False)] * 20, False, id="nothing more, not yet"),
        pytest.param([(n * 25, False) for n in range(100)], True, id="50 bytes in a second"),
        pytest.param([(n * 100, False) for n in range(1000)], False, id="200 bytes in a second"),
        pytest.param([(4 * KIB, True)] * 1000, False, id="we do not read"),
        pytest.param([(4 * KIB, True)] * 50 + [(4 * KIB, False)] * 20, True, id="then nothing"),
        pytest.param([(n * 5, True) for n in range(100)], True, id="ten bytes in a second, unread"),
        pytest.param([(4, True), (4, False)] * 50, True, id="a byte that is just being read"),
        pytest.param([(0, False)] * 15 + [(KIB, False)] * 15, False, id="enough in the end"),
    ],
)
def test_what_counts_as_a_stall_after_ten_seconds(
    looks: list[tuple[int, bool]], *, stalled: bool
) -> None:
    waiting = Waiting(timeout_s=10, seen_s=100.0)
    for step, (delivered, ours) in enumerate(looks, start=1):
        waiting = waiting.looked(100.0 + step / 2, delivered, ours_to_read=ours)
        if waiting.stalled:
            break
    assert waiting.stalled is stalled


def test_the_time_in_which_we_did_not_look_is_not_waited() -> None:
    waiting = Waiting(timeout_s=90, seen_s=0.0).looked(1000.0).looked(1001.0)
    assert waiting == Waiting(timeout_s=90, seen_s=1001.0, waited_s=2.0)


def test_without_a_timeout_nothing_stalls() -> None:
    waiting = Waiting(timeout_s=None, seen_s=0.0)
    for second in range(10_000):
        waiting = waiting.looked(float(second))
    assert not waiting.stalled


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (None, f"registry quay.io, or a mirror of it, has not answered about {IMAGE} for 90 s"),
        (
            "sha256:ab",
            f"registry quay.io stopped sending layer sha256:ab of {IMAGE} for 90 s",
        ),
    ],
)
def test_a_stall_says_who_and_what(layer: str | None, message: str) -> None:
    error = explain_stall(IMAGE, 90, layer)
    assert error.message == message
    assert error.hint is not None
    assert "BOOTC_STALL_TIMEOUT" in error.hint
    assert ("kept" in error.hint) is (layer is not None)
