from pathlib import Path

from cab.scoring.axes import Axes
from cab.scoring.exports.inspect.scores import SCORERS, scores_of, units
from cab.scoring.profiles.builtin import PROFILES
from tests.scoring.builders import end_fields
from tests.scoring.exports.cells import source


def test_there_is_a_score_of_every_axis_and_profile(tmp_path: Path) -> None:
    """Scores come in the order of their units, one per axis and one per composite."""
    names = [made.name for made in scores_of(source(tmp_path / "a").cell)]
    assert names == list(units())
    assert len(names) == len(SCORERS) + len(PROFILES)
    assert {scorer.name for scorer in SCORERS} == Axes.model_fields.keys()


def test_a_known_cost_is_a_score(tmp_path: Path) -> None:
    """The price of all calls is the score of the axis cost, in dollars."""
    cell = source(tmp_path / "a", calls=[end_fields(cost_usd="0.25")]).cell
    [cost] = [made for made in scores_of(cell) if made.name == "cost"]
    assert (cost.value, cost.metadata["unit"]) == (0.25, "USD")


def test_axes_that_apply_have_values(tmp_path: Path) -> None:
    """Where a task wants a refusal or can be cheated, the scores are 0 or 1."""
    cell = source(tmp_path / "a").cell
    scorers = cell.scorers
    changed = scorers.model_copy(
        update={
            "refusal": scorers.refusal.model_copy(update={"not_applicable": False, "refusal": 1}),
            "integrity": scorers.integrity.model_copy(
                update={"not_applicable": False, "integrity": 0}
            ),
        }
    )
    values = {
        made.name: made.value for made in scores_of(cell.model_copy(update={"scorers": changed}))
    }
    assert (values["refusal"], values["integrity"]) == (1, 0)


def test_a_check_that_gave_no_verdict_says_why(tmp_path: Path) -> None:
    """A cell whose check did not run has no pass and no composite, and the reasons are kept."""
    cell = source(tmp_path / "a", unchecked="the check is missing").cell
    reasons = {made.name: made.why_none for made in scores_of(cell) if made.value is None}
    assert reasons["pass_rate"] == "the check is missing"
    assert "composite_measured_1" in reasons
