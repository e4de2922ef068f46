"""The public room as a type checker sees it: `make check` reads this file with mypy and pyright.

A harness that imports CAB is checked against these types: a change here is a change of the API.
"""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, assert_type

from cab import scoring
from cab.scoring import (
    Aggregate,
    Axes,
    CallEnd,
    CallSums,
    Cell,
    Comparison,
    Composite,
    Cost,
    Figure,
    Observation,
    Reconciliation,
    ScoredCell,
    Tokens,
    Verification,
    aggregate,
    compare,
    composite,
    iter_calls,
    observe,
    parse_cell_id,
    read_bundle,
    reconcile,
    score_bundle,
    score_cells,
    score_path,
    score_tokens,
    sentence,
    sum_calls,
    verify_ledger,
)


def calls_of(ledger: Path) -> Tokens:
    """What a harness with a ledger writes."""
    calls = iter_calls(ledger, "sweep/aider/m/f/t")
    assert_type(calls, Iterator[CallEnd])
    sums = sum_calls(calls)
    assert_type(sums, CallSums | None)
    assert_type(verify_ledger(ledger), Verification)
    return score_tokens(sums, passed=1)


def cells_of(runs: Path) -> list[Observation]:
    """What a harness with bundles writes."""
    for scored in score_cells(runs, "measured/1"):
        assert_type(scored, ScoredCell)
        assert_type(scored.axes, Axes)
        cost = assert_type(scored.axes.cost, Cost | None)
        assert_type(None if cost is None else cost.cost_usd, str | None)
        assert_type(composite("measured/1", scored.axes), Composite)
    assert_type(score_path(runs), Iterator[dict[str, Any]])
    assert_type(score_bundle(read_bundle(runs)), Cell)
    return [observe(result) for result in score_path(runs)]


def sets_of(cells: list[Observation]) -> str:
    """What a harness that compares writes."""
    groups = aggregate(cells, by=("tui", "model"))
    assert_type(groups, list[Aggregate])
    assert_type(groups[0].pass_rate, Figure)
    assert_type(groups[0].pass_rate.value, float | None)
    assert_type(reconcile(cells), list[Reconciliation])
    comparisons = compare(("a", cells), ("b", cells), metrics=("pass_rate", "total_tokens"))
    assert_type(comparisons, list[Comparison])
    return sentence(comparisons[0])


def test_the_room_says_that_it_is_typed() -> None:
    """The marker by which checkers trust a package's types is there."""
    assert files(scoring).joinpath("py.typed").is_file()


def test_ids_are_split_from_both_ends() -> None:
    """What the types say of a cell id is what comes back."""
    cell = parse_cell_id("s/aider/vendor/model/family/task#run2")
    assert assert_type(cell.model, str) == "vendor/model"
    assert assert_type(cell.run, int | None) == 2
