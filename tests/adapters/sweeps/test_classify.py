"""Which attempts are results."""

import pytest

from cab.adapters.sweeps.classify import classify
from cab.adapters.sweeps.executors.protocol import CellOutcome
from cab.proxy.accounting.limits import KeyLimits
from tests.adapters.sweeps.spend import spend

NONE, FEW, MORE = KeyLimits(), KeyLimits(max_calls=3), KeyLimits(max_calls=9)
SPEND = spend(calls=3)


def complete(**fields: object) -> CellOutcome:
    """Return the outcome of a bundle."""
    return CellOutcome.model_validate(
        {"state": "complete", "bundle": "b", "succeeded": 3, **fields}
    )


@pytest.mark.parametrize(
    ("outcome", "cell_limits", "key_limits", "verdict", "reason"),
    [
        (complete(), NONE, NONE, "complete", None),
        (complete(passed=False), NONE, NONE, "complete", None),
        (complete(failures={"network": 2}), NONE, NONE, "complete", None),
        # An agent that makes no call, or asks for a model that is not there, does so again.
        (complete(succeeded=0), NONE, NONE, "complete", None),
        (complete(succeeded=None), NONE, NONE, "complete", None),
        (complete(succeeded=0, failures={"refused_request": 1}), NONE, NONE, "complete", None),
        (
            complete(succeeded=0, failures={"network": 1, "endpoint": 2, "refused_request": 1}),
            *(NONE, NONE, "infrastructure", "no model call succeeded: endpoint 2, network 1"),
        ),
        (CellOutcome(state="failed", reason="why"), NONE, NONE, "infrastructure", "why"),
        (CellOutcome(state="stopped", reason="why"), NONE, NONE, "stopped", "why"),
        # The cell's own limit counts against the agent, the sweep's budget does not.
        (complete(rejected=1), FEW, FEW, "complete", None),
        (
            complete(rejected=1),
            MORE,
            FEW,
            "budget",
            "the rest of the sweep's budget was not enough",
        ),
        (complete(rejected=1), NONE, FEW, "budget", "the rest"),
        (complete(rejected=1), NONE, MORE, "complete", None),
        (complete(rejected=1), NONE, None, "budget", "the rest"),
        (complete(), NONE, FEW, "complete", None),
    ],
)
def test_classify(
    outcome: CellOutcome,
    cell_limits: KeyLimits,
    key_limits: KeyLimits | None,
    verdict: str,
    reason: str | None,
) -> None:
    """Only what the agent did itself is a result; everything else has its class and its reason."""
    found = classify(outcome, SPEND, cell_limits, key_limits)

    assert found.verdict == verdict
    assert (found.reason or "").startswith(reason or "")
    assert (found.reason is None) == (reason is None)
