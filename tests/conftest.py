"""What holds for every test."""

from hypothesis import settings

# No test asserts a time: a loaded machine may take long for one example.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")
