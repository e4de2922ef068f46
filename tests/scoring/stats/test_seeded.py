from itertools import compress
from math import fsum, isclose
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from cab.scoring.stats.seeded import SeededDraws, flipped_sums


def test_a_seed_gives_the_same_draws_for_ever() -> None:
    """The first draws of seed 1 are what Python's generator has given since version 3.2."""
    draws = SeededDraws(1)
    assert draws.indices(6) == [0, 5, 4, 1, 2, 2]
    assert draws.flips(4) == bytes([1, 0, 1, 0])


@given(st.integers(), st.integers(0, 50))
def test_indices_stay_within(seed: int, count: int) -> None:
    """Draws are indices, as many as asked for, and leave the global generator alone."""
    drawn = SeededDraws(seed).indices(count)
    assert len(drawn) == count
    assert all(0 <= index < count for index in drawn)
    assert drawn == [int(x * count) for x in map(_uniform, [Random(seed)] * count)]


def _uniform(random: Random) -> float:
    return random.random()


@given(st.integers(), st.integers(0, 200))
def test_flips_are_the_bits_of_the_draws(seed: int, count: int) -> None:
    """Tosses are the binary digits of Python's draws, 53 of each, as many as asked for."""
    flips = SeededDraws(seed).flips(count)
    assert len(flips) == count
    assert set(flips) <= {0, 1}
    if count >= 53:
        first = int("".join(map(str, flips[:53])), 2)
        assert first == Random(seed).random() * 2**53


@given(st.lists(st.floats(-1e6, 1e6), max_size=160), st.integers(1, 5), st.integers())
def test_sums_of_flips_are_those_of_the_tosses(values: list[float], draws: int, seed: int) -> None:
    """They are what adding up after each toss gives."""
    tosses = SeededDraws(seed)
    expected = [fsum(compress(values, tosses.flips(len(values)))) for _ in range(draws)]
    found = flipped_sums(values, draws, seed)
    rounding = 1e-12 * fsum(map(abs, values))
    assert all(isclose(*both, abs_tol=rounding) for both in zip(found, expected, strict=True))


def test_a_coin_is_fair() -> None:
    """Of 100000 tosses of a seed half are heads, within four standard errors, at each place."""
    source = SeededDraws(1)
    rounds = [source.flips(50) for _ in range(2000)]
    assert abs(sum(map(sum, rounds)) - 50_000) < 4 * 100_000**0.5 / 2
    for place in zip(*rounds, strict=True):
        assert abs(sum(place) - 1000) < 5 * 2000**0.5 / 2
