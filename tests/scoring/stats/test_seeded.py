from random import Random

from hypothesis import given
from hypothesis import strategies as st

from cab.scoring.stats.seeded import SeededDraws


def test_a_seed_gives_the_same_draws_for_ever() -> None:
    """The first draws of seed 1 are what Python's generator has given since version 3.2."""
    draws = SeededDraws(1)
    assert draws.indices(6) == [0, 5, 4, 1, 2, 2]
    assert draws.flips(4) == [False, False, True, True]


@given(st.integers(), st.integers(0, 50))
def test_indices_stay_within(seed: int, count: int) -> None:
    """Draws are indices, as many as asked for, and leave the global generator alone."""
    drawn = SeededDraws(seed).indices(count)
    assert len(drawn) == count
    assert all(0 <= index < count for index in drawn)
    assert drawn == [int(x * count) for x in map(_uniform, [Random(seed)] * count)]


def _uniform(random: Random) -> float:
    return random.random()
