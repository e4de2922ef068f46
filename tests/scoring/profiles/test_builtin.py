import pytest

from cab.scoring import PROFILES, UnknownProfile, composite, find_profile
from cab.scoring.profiles.builtin import composites
from tests.scoring.builders import facts
from tests.scoring.cells.test_bundle import bundle

AXES = bundle(facts(), calls=[]).scorers


@pytest.mark.parametrize("name", PROFILES)
def test_weights_add_up_to_one(name: str) -> None:
    """A profile hands out the whole, no more and no less."""
    assert sum(term.weight for term in PROFILES[name].terms) == pytest.approx(1, abs=1e-12)


def test_an_unknown_profile_names_the_known_ones() -> None:
    """A profile that is not there is an error that lists those that are."""
    for fails in (lambda: find_profile("mine/1"), lambda: composite("mine/1", AXES)):
        with pytest.raises(UnknownProfile, match="published/1"):
            fails()


def test_every_profile_scores_a_cell() -> None:
    """A cell has one composite for each profile, the same as by its name."""
    assert composites(AXES) == {name: composite(name, AXES) for name in PROFILES}
