from typing import Any

import pytest
from pydantic import ValidationError

from cab.scoring import PROFILES, Factors, Profile, Term
from cab.scoring.profiles.model import UNITS

PASS = {"name": "pass", "weight": 1.0, "component": "pass_rate"}


def profile(**changes: Any) -> Profile:
    """Return a profile that weighs the pass alone, with some keys changed."""
    fields = {"schema": "cab.profile/1", "name": "mine/1", "note": "", "terms": [PASS]}
    return Profile.model_validate({**fields, **changes}, strict=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "cab.profile/2"}, "cab.profile/1"),
        ({"name": "mine"}, "pattern"),
        ({"name": "mine/0"}, "pattern"),
        ({"name": "a/b/1"}, "pattern"),
        ({"terms": []}, "at least 1 item"),
        ({"terms": "all"}, "valid tuple"),
        ({"terms": [PASS, PASS]}, "two terms are named 'pass'"),
        ({"terms": [{**PASS, "weight": 0.9}]}, "weights add up to 0.9, not to 1"),
        ({"terms": [{**PASS, "weight": float("nan")}]}, "finite"),
        ({"terms": [{**PASS, "weight": "1"}]}, "valid number"),
        ({"terms": [{**PASS, "component": "luck"}]}, "pass_rate"),
        ({"terms": [{**PASS, "unit": 10}]}, "the unit of pass_rate is not to be given"),
        ({"terms": [{**PASS, "component": "latency_efficiency"}]}, "is in seconds"),
        ({"terms": [{**PASS, "wieght": 1}]}, "Extra inputs"),
        ({"min_coverge": 0.5}, "Extra inputs"),
        ({"min_coverage": 1.5}, "less than or equal to 1"),
        ({"factors": {"no_op": -1}}, "greater than or equal to 0"),
        ({"needs_model_call": 1}, "valid boolean"),
    ],
)
def test_a_slip_of_the_pen_is_refused(changes: dict[str, Any], message: str) -> None:
    """A key that is unknown, of the wrong type, out of range or does not add up is an error."""
    with pytest.raises(ValidationError, match=message):
        profile(**changes)


def test_what_is_not_said_changes_nothing() -> None:
    """Without further keys there is no minimum, no factor and nothing granted."""
    plain = profile()
    assert (plain.min_coverage, plain.needs_model_call, plain.factors) == (0, False, Factors())
    assert plain.terms == (Term(name="pass", weight=1.0, component="pass_rate"),)
    assert (plain.terms[0].if_unmeasured, plain.terms[0].if_not_applicable) == (None, None)


@pytest.mark.parametrize("component", UNITS)
def test_efficiencies_have_a_unit(component: str) -> None:
    """Each component that falls with an amount takes a unit above 0."""
    term = {**PASS, "component": component, "unit": 2.5}
    assert profile(terms=[term]).terms[0].unit == 2.5
    with pytest.raises(ValidationError, match="greater than 0"):
        profile(terms=[{**term, "unit": 0}])


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_survives_its_file(name: str) -> None:
    """A profile written as JSON and read again is the same profile."""
    data = PROFILES[name].model_dump(mode="json", by_alias=True)
    assert Profile.model_validate(data, strict=True) == PROFILES[name]
