"""Settings for property tests."""

from hypothesis import settings

# How long an example takes says nothing about the meter, only about the machine.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
