"""Attempts and what was spent, as lines."""

import pytest

from cab.adapters.sweeps.progress.texts import line_of, recovered_line, spend_text
from cab.scoring.ledger.totals import CallTotals
from tests.adapters.sweeps.progress.attempts import CELL, end
from tests.adapters.sweeps.spend import spend


def test_recovered() -> None:
    """An attempt of a killed sweep is a line, and a bundle is spoken of only where there is one."""
    killed = end("killed", reason="the sweep was killed", bundle=None)
    assert recovered_line(killed) == f"{killed.cell_id}: the sweep was killed"
    moved = recovered_line(killed.model_copy(update={"bundle": "failed/x"}))
    assert moved == f"{killed.cell_id}: the sweep was killed; its bundle is moved to failed/"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"passed": False, "calls": 1, "tokens": None}, "did not pass, 1 call, tokens not known"),
        ({"passed": None, "calls": None}, "no verdict, calls not known, 1,200 tokens"),
    ],
)
def test_line(fields: dict[str, object], said: str) -> None:
    """What is not known is said to be so."""
    assert line_of(end("complete", **fields), 2) == f"{CELL}: {said}, 2.0 s"


@pytest.mark.parametrize(
    ("totals", "said"),
    [
        (spend(), "0 calls, 0 tokens, $0"),
        (spend(2, 10, 1, "0", 2), "2 calls, 10 tokens (1 call not counted)"),
        (
            spend(2, 10, 0, "0.5", 1),
            "2 calls, 10 tokens, $0.50 (1 call without a price)",
        ),
    ],
)
def test_spend(totals: CallTotals, said: str) -> None:
    """Money is shown as far as any price is known."""
    assert spend_text(totals) == said
