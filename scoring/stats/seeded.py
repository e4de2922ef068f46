"""Randomness that comes out the same again: the only file of the room that draws numbers."""

from random import Random

_BITS = 53
"""Random bits in a float between 0 and 1, as Python draws them."""
_DIGITS = bytes.maketrans(b"01", b"\0\1")

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

    def flips(self, count: int) -> bytes:
        """Return `count` tosses of a fair coin, each 0 or 1."""
        # One draw is 53 tosses: a float of each would take fifty times as long.
        draws = range(-(-count // _BITS))
        digits = "".join(f"{int(self._uniform() * 2**_BITS):0{_BITS}b}" for _ in draws)
        return digits[:count].encode().translate(_DIGITS)
