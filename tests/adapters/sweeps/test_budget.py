"""What a sweep has spent, and what it may spend."""

from decimal import Decimal
from pathlib import Path

import pytest

from cab.adapters.sweeps.budget import (
    has_reached,
    limits_of,
    own_limits,
    spend_by_cell,
    spend_members,
    spent,
    sum_by_cell,
)
from cab.adapters.sweeps.sweepfile import Budget, CellAllowance
from cab.proxy.accounting.limits import KeyLimits
from cab.scoring.ledger.totals import CallTotals
from tests.adapters.sweeps.spend import spend
from tests.scoring.builders import end, start

CELL = "s/a/m/f/t#run1"
KNOWN = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def test_sums() -> None:
    """Calls on the wire, known tokens and prices are added up; what is not known is counted."""
    unknown = {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}
    [(cell, totals)] = sum_by_cell(
        [
            start("1", cell_id=CELL),
            end("1", cell_id=CELL, **KNOWN, cost_usd="0.10"),
            start("2", cell_id=CELL),
            end("2", cell_id=CELL, **unknown, usage_source="none"),
            start("3", cell_id=CELL),
            end("3", cell_id=CELL, **unknown, usage_source="none", status=429),
            end("4", cell_id=CELL, end_reason="rejected", status=400),
            end("5", cell_id=CELL, endpoint="other"),
            end("6", cell_id=None),
            start("7", cell_id=CELL),
            start("8", cell_id=None),
            start("9", cell_id=CELL, endpoint="other"),
        ]
    ).items()

    assert cell == CELL
    assert spend_members(totals) == {
        "calls": 4,
        "known_calls": 4,
        "lost_cells": 0,
        "tokens": None,
        "known_tokens": 10,
        "total_interval": {"known_total": 10, "unknown_calls": 2, "upper_total": None},
        "calls_without_count": 2,
        "cost_usd": None,
        "known_cost_usd": "0.10",
        "calls_without_price": 2,
        "price_sources": ["unnamed"],
    }


def test_no_ledger(tmp_path: Path) -> None:
    """Before there is a ledger nothing is spent."""
    assert spend_by_cell(tmp_path / "none") == {}
    assert spend_members(CallTotals())["tokens"] == 0


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({}, None),
        ({"tokens": 1001}, None),
        ({"tokens": 1000}, "1,000 of 1,000 tokens are spent"),
        ({"calls": 5}, "5 of 5 calls are made"),
        ({"usd": "0.2"}, "$0.25 of $0.20 are spent"),
        ({"wall_s": 60}, "60 of 60 s are over"),
        ({"wall_s": 61, "usd": "0.26", "calls": 6}, None),
    ],
)
def test_spent(budget: dict[str, object], said: str | None) -> None:
    """A budget is spent as soon as one part of it is; the part is named."""
    totals = spend(calls=5, tokens=1000, usd="0.25")

    assert spent(Budget.model_validate(budget), totals, 60) == said


def test_limits() -> None:
    """A cell's key allows what the cell may spend, or what the sweep has left if that is less."""
    allowance = CellAllowance.model_validate({"tokens": 100, "usd": "1"})
    budget = Budget.model_validate({"tokens": 1000, "calls": 10, "usd": "0.5"})
    totals = spend(calls=4, tokens=950, usd="0.1")

    assert limits_of(allowance, budget, totals) == KeyLimits(6, 50, Decimal("0.4"))
    assert limits_of(allowance, budget, CallTotals()) == KeyLimits(10, 100, Decimal("0.5"))
    assert limits_of(CellAllowance(), Budget(), totals) == KeyLimits()
    assert own_limits(allowance) == KeyLimits(None, 100, Decimal(1))


def test_unknown_calls_are_charged() -> None:
    """A call that nobody counted takes its upper bound from the budget, and the dearest price."""
    unknown = end("2", prompt_tokens=None, completion_tokens=None, total_tokens=None,
                  usage_source="none", status=500, prompt_tokens_at_most=70,
                  completion_tokens_at_most=20)  # fmt: skip
    [totals] = sum_by_cell([end("1", **KNOWN, cost_usd="0.1"), unknown]).values()
    budget = Budget.model_validate({"tokens": 101, "usd": "0.3"})

    assert limits_of(CellAllowance(), budget, totals) == KeyLimits(None, 1, Decimal("0.1"))
    assert has_reached(KeyLimits(max_tokens=100), totals)
    assert has_reached(KeyLimits(max_cost_usd=Decimal("0.2")), totals)
    assert spent(Budget(tokens=100), totals, 0) == "100 of 100 tokens are spent"


def test_reached() -> None:
    """A limit is reached by what equals it."""
    totals = spend(calls=4, tokens=100, usd="0.1")

    assert has_reached(KeyLimits(max_calls=4), totals)
    assert has_reached(KeyLimits(max_tokens=100), totals)
    assert has_reached(KeyLimits(max_cost_usd=Decimal("0.10")), totals)
    assert not has_reached(KeyLimits(5, 101, Decimal("0.2")), totals)
    assert not has_reached(KeyLimits(), totals)
