"""Randomness that comes out the same again: the only file of the room that draws numbers."""

from random import Random

DEFAULT_SEED = 20241101
"""Where none is named. Any number serves; this one is fixed so that results can be compared."""


class SeededDraws:
    """Draws of one seed.

    Only `Random.random` is used: of all methods Python promises for this one alone that a seed
    gives the same sequence in every version.

    Args:
        seed: Any whole number.

    Source:
        Matsumoto and Nishimura 1998, Mersenne Twister, as in Python's `random.Random`.
    """

    def __init__(self, seed: int) -> None:
        self._uniform = Random(seed).random

    def indices(self, count: int) -> list[int]:
        """Return `count` independent draws from 0 to `count` - 1, with replacement."""
        uniform = self._uniform
        return [int(uniform() * count) for _ in range(count)]

    def flips(self, count: int) -> list[bool]:
        """Return `count` tosses of a fair coin."""
        uniform = self._uniform
        return [uniform() < 0.5 for _ in range(count)]
