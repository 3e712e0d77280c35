"""How long a source may keep us waiting before it counts as stalled. Pure arithmetic."""

import re
from dataclasses import dataclass
from typing import Final, Self

from bootcpy.errors import BootcpyError, StalledError
from bootcpy.model.image.failures import registry_host
from bootcpy.model.image.reference import ImageReference

DEFAULT_STALL_TIMEOUT_S: Final = 90
# An answer may take that many times as long: the source may first try mirrors that do not answer,
# wait as long as a busy registry asks it to, or fetch a layer whole before it passes any on.
ANSWER_FACTOR: Final = 4
# A source that delivers less is as good as one that delivers nothing.
LEAST_BYTES_PER_S: Final = 100
# Between two looks more may pass, as when we were stopped, or were busy with another layer.
# That much was not waited.
_LONGEST_STEP_S: Final = 1.0
_SECONDS: Final = re.compile("[0-9]{1,9}")


def parse_stall_timeout(text: str | None) -> int | None:
    """Return the seconds that BOOTC_STALL_TIMEOUT gives, None for waiting without end.

    Raises:
        BootcpyError: it is not a number of seconds.
    """
    if not text:
        return DEFAULT_STALL_TIMEOUT_S
    if not _SECONDS.fullmatch(text):
        raise BootcpyError(
            f"BOOTC_STALL_TIMEOUT is {text!r}, not a number of seconds",
            hint="set it to a whole number (0 means no timeout), or unset it",
        )
    return int(text) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Waiting for a source: since it last delivered enough, how long and from which count.

    Attributes:
        timeout_s: for how long it may deliver next to nothing; None for ever.
        seen_s: when we looked last, by a clock that does not count a machine's sleep.
        waited_s: how long was waited since `delivered` was reached.
        delivered: the bytes that had come when the waiting began.
        seen_bytes: those that had come at the last look.
        unread: whether there were more then, which we had not taken.
    """

    timeout_s: int | None
    seen_s: float
    waited_s: float = 0.0
    delivered: int = 0
    seen_bytes: int = 0
    unread: bool = False

    def looked(self, now_s: float, delivered: int = 0, *, ours_to_read: bool = False) -> Self:
        """Return the state after another look, at which `delivered` bytes had come in all.

        With `ours_to_read` there are bytes that we have not taken yet. If that is so at two looks
        and none was taken between them, it is we who are waited for, and nobody else.
        """
        least = LEAST_BYTES_PER_S * (self.timeout_s or 0)
        we_rest = ours_to_read and self.unread and delivered == self.seen_bytes
        enough = we_rest or delivered - self.delivered >= least > 0
        step_s = min(max(now_s - self.seen_s, 0.0), _LONGEST_STEP_S)
        return type(self)(
            timeout_s=self.timeout_s,
            seen_s=now_s,
            waited_s=0.0 if enough else self.waited_s + step_s,
            delivered=delivered if enough else self.delivered,
            seen_bytes=delivered,
            unread=ours_to_read,
        )

    @property
    def stalled(self) -> bool:
        """Whether it has lasted too long."""
        return self.timeout_s is not None and self.waited_s >= self.timeout_s


def explain_stall(
    reference: ImageReference, timeout_s: int, layer: str | None = None
) -> StalledError:
    """Return the error for a source that stalled, in `layer` or before any."""
    host = registry_host(reference)
    hint = "check the network, and run the command again; BOOTC_STALL_TIMEOUT sets the timeout"
    if layer is None:
        message = f"{host}, or a mirror of it, has not answered about {reference} for {timeout_s} s"
        return StalledError(message, hint=hint)
    return StalledError(
        f"{host} stopped sending layer {layer} of {reference} for {timeout_s} s",
        hint=f"{hint}; complete layers are kept",
    )
