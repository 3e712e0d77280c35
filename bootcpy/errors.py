"""Every error raised on purpose, and the exit status it ends the program with.

This module imports nothing of bootcpy, so that anything may import it.
"""

from enum import IntEnum


class ExitStatus(IntEnum):
    """What a script may branch on; the same as bootc's, plus those a signal leaves."""

    OK = 0
    FAILED = 1
    USAGE = 2
    HANGUP = 129
    INTERRUPTED = 130
    TERMINATED = 143


class BootcpyError(Exception):
    """Something foreseeable went wrong: `message` says what, `hint` what to do about it."""

    exit_status = ExitStatus.FAILED
    usual_hint: str | None = None  # what to do where nothing better is said

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """Keep the one-line `message` and the optional one-line `hint`."""
        super().__init__(message)
        self.message = message
        self.hint = hint or self.usual_hint

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle without calling __init__, whose arguments differ between the kinds.

        Errors cross from the processes that import layers to the one that waits for them.
        """
        return (_rebuild, (type(self), dict(self.__dict__)))


def _rebuild(kind: type[BootcpyError], state: dict[str, object]) -> BootcpyError:
    error = kind.__new__(kind, state["message"])
    error.__dict__.update(state)
    return error


class UsageError(BootcpyError):
    """The command line contradicts itself or names a value that does not exist."""

    exit_status = ExitStatus.USAGE


class ToolFailedError(BootcpyError):
    """A program we run ended with a status that is not an answer."""

    usual_hint = "see its message, and the kernel's messages (`dmesg`), for the cause"

    def __init__(self, message: str, *, status: int, stderr: str, hint: str | None = None) -> None:
        """Keep the exit `status` (negative: the signal that killed it) and the end of `stderr`."""
        super().__init__(message, hint=hint)
        self.status = status
        self.stderr = stderr


class PrivilegeError(BootcpyError):
    """The process lacks a right that the command needs."""


class EnvironmentMismatchError(BootcpyError):
    """The command was started somewhere it cannot do its work, such as inside a container."""


class ConfigurationError(BootcpyError):
    """A configuration file is malformed; the message names the file, line and key."""

    usual_hint = "correct the file"


class ReferenceFormatError(BootcpyError):
    """An image reference does not follow the grammar."""


class ImageError(BootcpyError):
    """An image cannot be had or cannot be used; the base of the two kinds below."""


class ImageUnavailableError(ImageError):
    """An image cannot be fetched: registry, tag, file, policy or credentials."""


class StalledError(ImageUnavailableError):
    """What serves the image has not failed, but sends nothing any more."""


class ImageContentError(ImageError):
    """An image can be read, but what it holds is corrupt or cannot boot here."""

    usual_hint = "build or pull the image again"


class TargetError(BootcpyError):
    """The disk or directory to install to is unsuitable; nothing has been written."""


class NoSpaceError(BootcpyError):
    """There is less free space than the work needs; the message has both numbers."""

    usual_hint = "free some space, and run the command again"


class DeploymentError(BootcpyError):
    """The system's deployments are not in a state that allows the command."""
