"""Randomness that comes out the same again: the only file of the room that draws numbers."""

from collections.abc import Sequence
from functools import lru_cache
from random import Random

_BITS = 53
"""Random bits in a float between 0 and 1, as Python draws them."""
_BYTES = 7
"""Of a word of so many bits."""
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


def flipped_sums(values: Sequence[float], draws: int, seed: int) -> list[float]:
    """Return for each draw the sum of the values whose coin falls on 1, as `flips` tosses them.

    Seven look-ups in place of 53 additions; the coins of a seed are tossed once for many calls.

    Args:
        values: One coin each.
        draws: How many sums, each of coins of its own.
        seed: Of the first draw.
    """
    columns = -(-len(values) // _BITS)
    totals: list[float] = [0.0] * draws
    for column, coins in enumerate(_coins(seed, columns, draws)):
        a, b, c, d, e, f, g = _subset_sums(values[_BITS * column : _BITS * (column + 1)])
        totals = [
            total + a[i] + b[j] + c[k] + d[m] + e[n] + f[p] + g[q]
            for total, i, j, k, m, n, p, q in zip(totals, *coins, strict=True)
        ]
    return totals


@lru_cache(maxsize=4)
def _coins(seed: int, columns: int, draws: int) -> list[list[bytes]]:
    """Return the coins of all draws: of each 53 the bits, in seven parts, each with a byte a draw."""
    uniform, scale = Random(seed).random, float(2**_BITS)
    words = [int(uniform() * scale) for _ in range(columns * draws)]
    found: list[list[bytes]] = []
    for column in range(columns):
        packed = b"".join(word.to_bytes(_BYTES, "big") for word in words[column::columns])
        found.append([packed[part::_BYTES] for part in range(_BYTES)])
    return found


def _subset_sums(values: Sequence[float]) -> list[list[float]]:
    """Return the sums of all subsets of each part of up to 53 values, found by the bits of its coins."""
    rest = [*values, *[0.0] * (_BITS - len(values))]
    tables: list[list[float]] = []
    for length in (_BITS - 8 * (_BYTES - 1), *[8] * (_BYTES - 1)):
        sums = [0.0]
        for value in rest[:length]:
            sums = [each for total in sums for each in (total, total + value)]
        tables.append(sums)
        rest = rest[length:]
    return tables
