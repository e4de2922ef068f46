"""Randomness that comes out the same again: the only file of the room that draws numbers."""

from collections.abc import Iterator, Sequence
from random import Random

_BITS = 53
"""Random bits in a float between 0 and 1, as Python draws them."""
MOST_WORDS = 400_000
"""Random words in memory at a time: some 13 MB."""
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

    def flipped_sums(self, values: Sequence[float], draws: int) -> Iterator[float]:
        """Yield for each draw the sum of the values whose coin falls on 1, as `flips` tosses them.

        Args:
            values: One coin each.
            draws: How many sums.
        """
        columns = -(-len(values) // _BITS)
        parts = [values[start : start + _BITS] for start in range(0, len(values), _BITS)]
        uniform, scale = self._uniform, float(2**_BITS)
        at_once = max(1, MOST_WORDS // max(1, columns))
        for begin in range(0, draws, at_once):
            count = min(at_once, draws - begin)
            words = [int(uniform() * scale) for _ in range(columns * count)]
            totals = [0.0] * count
            for column, part in enumerate(parts):
                # One part for all draws after the other: its tables stay in the processor's cache.
                totals = _with_part(totals, words[column::columns], _subset_sums(part))
            yield from totals


def _with_part(
    totals: Sequence[float], words: Sequence[int], tables: Sequence[Sequence[float]]
) -> list[float]:
    """Return each total with what a word of 53 coins takes from the tables of a part."""
    a, b, c, d, e, f, g = tables
    return [
        total
        + a[word >> 45]
        + b[word >> 37 & 255]
        + c[word >> 29 & 255]
        + d[word >> 21 & 255]
        + e[word >> 14 & 127]
        + f[word >> 7 & 127]
        + g[word & 127]
        for total, word in zip(totals, words, strict=True)
    ]


def _subset_sums(values: Sequence[float]) -> list[list[float]]:
    """Return the sums of all subsets of each part of up to 53 values, found by the bits of its coins.

    Seven look-ups in place of 53 additions.
    """
    rest = [*values, *[0.0] * (_BITS - len(values))]
    tables: list[list[float]] = []
    for length in _PARTS:
        sums = [0.0]
        for value in rest[:length]:
            sums = [each for total in sums for each in (total, total + value)]
        tables.append(sums)
        rest = rest[length:]
    return tables


_PARTS = (8, 8, 8, 8, 7, 7, 7)
"""Coins of one look-up; 53 together."""
