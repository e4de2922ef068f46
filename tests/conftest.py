"""What all tests share."""

from hypothesis import settings

# No example has a time limit: machines are slow at times, and no test asserts absolute times.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
