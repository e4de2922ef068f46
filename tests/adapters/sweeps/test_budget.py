"""What a sweep has spent, and what it may spend."""

from decimal import Decimal
from pathlib import Path

import pytest

from cab.adapters.sweeps.budget import (
    Spend,
    has_reached,
    limits_of,
    own_limits,
    spend_by_cell,
    spent,
    sum_by_cell,
)
from cab.adapters.sweeps.sweepfile import Budget, CellAllowance
from cab.proxy.accounting.limits import KeyLimits
from tests.scoring.builders import end, start

CELL = "s/a/m/f/t#run1"
KNOWN = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def test_sums() -> None:
    """Calls on the wire, known tokens and prices are added up; what is not known is counted."""
    unknown = {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}
    [(cell, spend)] = sum_by_cell(
        [
            start("1", cell_id=CELL),
            end("1", cell_id=CELL, **KNOWN, cost_usd="0.10"),
            start("2", cell_id=CELL),
            end("2", cell_id=CELL, **unknown, usage_source="none"),
            start("3", cell_id=CELL),
            end("3", cell_id=CELL, **unknown, usage_source="none", status=500),
            end("4", cell_id=CELL, end_reason="rejected", status=400),
            end("5", cell_id=CELL, endpoint="other"),
            end("6", cell_id=None),
            start("7", cell_id=CELL),
            start("8", cell_id=None),
            start("9", cell_id=CELL, endpoint="other"),
        ]
    ).items()

    assert cell == CELL
    assert spend == Spend(calls=4, tokens=10, uncounted=2, usd=Decimal("0.10"), unpriced=2)
    assert spend.as_dict() == {
        "calls": 4,
        "tokens": None,
        "known_tokens": 10,
        "calls_without_count": 2,
        "cost_usd": None,
        "known_cost_usd": "0.10",
        "calls_without_price": 2,
    }


def test_no_ledger(tmp_path: Path) -> None:
    """Before there is a ledger nothing is spent."""
    assert spend_by_cell(tmp_path / "none") == {}
    assert Spend().as_dict()["tokens"] == 0


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({}, None),
        ({"tokens": 1001}, None),
        ({"tokens": 1000}, "1,000 of 1,000 tokens are spent"),
        ({"calls": 5}, "5 of 5 calls are made"),
        ({"usd": "0.2"}, "$0.25 of $0.2 are spent"),
        ({"wall_s": 60}, "60 of 60 s are over"),
        ({"wall_s": 61, "usd": "0.26", "calls": 6}, None),
    ],
)
def test_spent(budget: dict[str, object], said: str | None) -> None:
    """A budget is spent as soon as one part of it is; the part is named."""
    spend = Spend(calls=5, tokens=1000, usd=Decimal("0.25"))

    assert spent(Budget.model_validate(budget), spend, 60) == said


def test_limits() -> None:
    """A cell's key allows what the cell may spend, or what the sweep has left if that is less."""
    allowance = CellAllowance.model_validate({"tokens": 100, "usd": "1"})
    budget = Budget.model_validate({"tokens": 1000, "calls": 10, "usd": "0.5"})
    spend = Spend(calls=4, tokens=950, usd=Decimal("0.1"))

    assert limits_of(allowance, budget, spend) == KeyLimits(6, 50, Decimal("0.4"))
    assert limits_of(allowance, budget, Spend()) == KeyLimits(10, 100, Decimal("0.5"))
    assert limits_of(CellAllowance(), Budget(), spend) == KeyLimits()
    assert own_limits(allowance) == KeyLimits(None, 100, Decimal(1))


def test_reached() -> None:
    """A limit is reached by what equals it."""
    spend = Spend(calls=4, tokens=100, usd=Decimal("0.1"))

    assert has_reached(KeyLimits(max_calls=4), spend)
    assert has_reached(KeyLimits(max_tokens=100), spend)
    assert has_reached(KeyLimits(max_cost_usd=Decimal("0.10")), spend)
    assert not has_reached(KeyLimits(5, 101, Decimal("0.2")), spend)
    assert not has_reached(KeyLimits(), spend)
