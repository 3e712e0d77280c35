"""What holds for every test."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# What these compare is shown when it differs, as in the tests themselves.
pytest.register_assert_rewrite("tests.refusals", "tests.system.support")

# No test asserts a time: a loaded machine may take long for one example.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")


@pytest.fixture(autouse=True, scope="session")
def _hangups_are_heard() -> Iterator[None]:
    """Undo what nohup(1) does, which all that the tests start would inherit."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
