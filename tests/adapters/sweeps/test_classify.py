"""Which attempts are results."""

import pytest

from cab.adapters.sweeps.classify import classify
from cab.adapters.sweeps.executor import CellOutcome
from cab.proxy.accounting.limits import KeyLimits
from tests.adapters.sweeps.spend import spend

NONE, FEW, MORE = KeyLimits(), KeyLimits(max_calls=3), KeyLimits(max_calls=9)
SPEND = spend(calls=3)


def whole(**fields: object) -> CellOutcome:
    """Return the outcome of a bundle."""
    return CellOutcome.model_validate(
        {"state": "complete", "bundle": "b", "succeeded": 3, **fields}
    )


@pytest.mark.parametrize(
    ("outcome", "own", "given", "verdict", "said"),
    [
        (whole(), NONE, NONE, "complete", None),
        (whole(passed=False), NONE, NONE, "complete", None),
        (whole(failures={"network": 2}), NONE, NONE, "complete", None),
        # An agent that makes no call, or asks for a model that is not there, does so again.
        (whole(succeeded=0), NONE, NONE, "complete", None),
        (whole(succeeded=None), NONE, NONE, "complete", None),
        (whole(succeeded=0, failures={"refused_request": 1}), NONE, NONE, "complete", None),
        (
            whole(succeeded=0, failures={"network": 1, "endpoint": 2, "refused_request": 1}),
            *(NONE, NONE, "infrastructure", "no model call succeeded: endpoint 2, network 1"),
        ),
        (CellOutcome(state="failed", reason="why"), NONE, NONE, "infrastructure", "why"),
        (CellOutcome(state="stopped", reason="told"), NONE, NONE, "stopped", "told"),
        # Its own allowance is the agent's affair, the sweep's budget is not.
        (whole(rejected=1), FEW, FEW, "complete", None),
        (whole(rejected=1), MORE, FEW, "budget", "what was left of the sweep's budget did not do"),
        (whole(rejected=1), NONE, FEW, "budget", "what was left"),
        (whole(rejected=1), NONE, MORE, "complete", None),
        (whole(rejected=1), NONE, None, "budget", "what was left"),
        (whole(), NONE, FEW, "complete", None),
    ],
)
def test_judge(
    outcome: CellOutcome, own: KeyLimits, given: KeyLimits | None, verdict: str, said: str | None
) -> None:
    """Only what the agent did itself is a result; everything else has its class and its reason."""
    found = classify(outcome, SPEND, own, given)

    assert found.verdict == verdict
    assert (found.reason or "").startswith(said or "")
    assert (found.reason is None) == (said is None)
