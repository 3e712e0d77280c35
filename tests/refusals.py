"""What every refusal is asked for: what is wrong, and what to do about it."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from bootcpy.errors import BootcpyError

_Error = TypeVar("_Error", bound=BootcpyError)


@contextmanager
def refused(
    kind: type[_Error], message: str = "", *, hint: str
) -> Generator[pytest.ExceptionInfo[_Error]]:
    """Require the block to raise `kind`, saying `message`, a regular expression, and this `hint`.

    Yields what pytest.raises does, for a test that compares more of the error.
    """
    with pytest.raises(kind) as caught:
        yield caught
    error = caught.value
    said = message if re.search(message, error.message) else error.message
    assert (said, error.hint) == (message, hint)
