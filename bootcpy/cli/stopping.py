"""A signal ends the program, whatever it is doing.

The handler raises `Stopped`, so that `with` blocks clean up. Python drops what a handler
raises inside a destructor or a callback from C, and the signal with it; so a timer looks
whether the exception is still under way, and raises it again where it is not. When that
does not help either, or the user insists while the clean-up lasts, the program ends at
once: its children die with it, and so do its mounts and loop devices, by their making.

Imports next to nothing, because the handlers must stand before anything slow is imported.
"""

import os
import signal
import sys
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from bootcpy.model.base.signals import ENDING_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK_INTERVAL_S = 0.25
_MOST_ATTEMPTS = 20  # to raise what is swallowed
_MOST_SIGNALS = 4  # the first, and those that do not wait for the clean-up


class Stopped(BaseException):
    """A signal asked the program to end; unwinds the stack so that `with` blocks clean up."""

    def __init__(self, signum: int) -> None:
        """Keep which signal it was."""
        super().__init__(signum)
        self.signal = signal.Signals(signum)


class Stopping:
    """Turns signals into `Stopped` for as long as the context lasts.

    SIGHUP stays ignored where it is, as below nohup.
    """

    def __init__(self, *, to_the_end: bool) -> None:
        """With `to_the_end` the process ends after the context, and signals then just kill it."""
        self.by: signal.Signals | None = None
        self._to_the_end = to_the_end
        self._signals = 0
        self._attempts = 0
        self._handlers: dict[signal.Signals, Any] = {}
        self._timer = (0.0, 0.0)
        self._hooks: tuple[Callable[..., object], Callable[..., object]] | None = None

    def __enter__(self) -> Self:
        """Install the handlers."""
        for each in ENDING_SIGNALS:
            before = signal.getsignal(each)
            if each is not signal.SIGHUP or before is not signal.SIG_IGN:
                self._handlers[each] = before
                signal.signal(each, self._arrived)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        if self.by is not None:
            signal.setitimer(signal.ITIMER_REAL, *self._timer)
        for each, handler in self._handlers.items():
            ends = self._to_the_end and each is not signal.SIGALRM
            signal.signal(each, signal.SIG_DFL if ends else handler)
        if self._hooks is not None and not self._to_the_end:
            sys.excepthook, sys.unraisablehook = self._hooks
        # Python 3.11 turns what is raised while a class is made into a RuntimeError.
        if error is not None and isinstance(error.__cause__, Stopped):
            raise error.__cause__ from None

    def _arrived(self, signum: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self.by is None:
            self.by = signal.Signals(signum)
            self._see_to_it()
        elif self._signals >= _MOST_SIGNALS:
            self._end_at_once()
        elif _is_unwinding():
            return
        raise Stopped(self.by)

    def _see_to_it(self) -> None:
        """Look from now on whether the exception is swallowed, and keep that from being shown."""
        self._hooks = sys.excepthook, sys.unraisablehook
        sys.excepthook = _without_stopped(sys.excepthook, lambda kind, *_: kind)
        sys.unraisablehook = _without_stopped(sys.unraisablehook, lambda what: what.exc_type)
        self._handlers[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._look_again)
        self._timer = signal.setitimer(signal.ITIMER_REAL, _LOOK_INTERVAL_S, _LOOK_INTERVAL_S)

    def _look_again(self, _signum: int, _frame: FrameType | None) -> None:
        if self.by is None or _is_unwinding():
            return
        self._attempts += 1
        if self._attempts > _MOST_ATTEMPTS:
            self._end_at_once()
        raise Stopped(self.by)

    def _end_at_once(self) -> None:
        os._exit(128 + (self.by or 0))


def _is_unwinding() -> bool:
    """Tell whether the code that was interrupted cleans up after `Stopped`."""
    error = sys.exc_info()[1]
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, Stopped):
            return True
        seen.add(id(error))
        error = error.__context__
    return False


def _without_stopped(
    hook: "Callable[..., object]", kind_of: "Callable[..., type[BaseException] | None]"
) -> "Callable[..., object]":
    """Return a hook that shows what `hook` does, but for `Stopped`."""

    def quiet(*details: Any) -> None:  # noqa: ANN401 - whatever Python hands to the hook
        kind = kind_of(*details)
        if kind is None or not issubclass(kind, Stopped):
            hook(*details)

    return quiet
