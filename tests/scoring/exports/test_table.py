import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

from cab.scoring.exports.table import COLUMNS, row_of
from cab.scoring.score import score_one
from tests.scoring.builders import FIXTURES, PAGES, end_fields
from tests.scoring.exports.cells import bundle, cell_id

IMPORTS = FIXTURES.parent / "imports"

TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "integer": (int,),
    "real": (float, int),
    "money": (Decimal,),
    "boolean": (bool,),
    "instant": (int,),
}
REPORT = {
    "prompt_tokens": 90,
    "completion_tokens": 20,
    "total_tokens": 110,
    "source": "tui_stdout",
    "exact": False,
}


def row(path: Path) -> dict[str, Any]:
    """Return a cell's row by column, and see that each value is of its column's type."""
    values = dict(zip((column.name for column in COLUMNS), row_of(score_one(path)), strict=True))
    for column in COLUMNS:
        value = values[column.name]
        assert value is None or type(value) in TYPES[column.kind], column.name
    return values


def test_names_are_unique_and_numbers_have_units() -> None:
    """No column is there twice, and whatever is a measured number says in what unit."""
    names = [column.name for column in COLUMNS]
    assert len(set(names)) == len(names)
    assert names[0] == "cell_id"
    assert all(column.unit for column in COLUMNS if column.kind in {"real", "money", "instant"})


def test_a_cell_is_a_row(tmp_path: Path) -> None:
    """Identity, verdict, tokens, calls, money, changes and composites are typed columns."""
    call = end_fields(
        cache_read_tokens=60, reasoning_tokens=5, ttft_ms=40.0, stream=True, cost_usd="0.25"
    )
    found = row(
        bundle(
            tmp_path / "b", cell_id(run=2), agent_version="1.2", calls=[call], self_reported=REPORT
        )
    )
    assert (found["sweep"], found["tui"], found["model"]) == ("local", "scripted", "lab/demo")
    assert (found["family"], found["task"], found["run"]) == ("polyglot", "twin", 2)
    assert (found["passed"], found["agent_exit_code"], found["cab_version"]) == (True, 0, "0.1.0")
    assert found["agent_version"] == "1.2"
    assert found["ended_at"] - found["started_at"] == 3_000_000
    assert (found["total_tokens"], found["cache_read_tokens"]) == (120, 60)
    assert (found["cache_write_tokens"], found["tokens_source"]) == (None, "upstream")
    assert (found["self_total_tokens"], found["self_exact"]) == (110, False)
    assert (found["model_calls"], found["succeeded"], found["failed"]) == (1, 1, 0)
    assert (found["cost_usd"], found["known_cost_usd"]) == (0.25, 0.25)
    assert (found["wall_clock_ms"], found["model_call_ms"]) == (3000.125, 500.0)
    assert (found["total_changes"], found["added"], found["scratch_changes"]) == (2, 1, 1)
    assert (found["refused"], found["integrity"], found["refusal_outcome"]) == (None, None, "acted")
    assert 0 < found["composite_measured_1"] < 1
    assert (found["verdict_published_1"], found["coverage_published_1"]) == ("scored", 1.0)


def test_what_was_not_measured_is_null(tmp_path: Path) -> None:
    """A cell without a ledger slice has no tokens, no calls and no money, and no zeros for them."""
    found = row(bundle(tmp_path / "b", calls=None))
    unknown = ("total_tokens", "model_calls", "attempts", "succeeded", "cost_usd", "model_call_ms")
    assert [found[name] for name in unknown] == [None] * len(unknown)
    assert found["run"] is None
    assert found["self_source"] is None


def test_no_price_is_not_a_price_of_nothing(tmp_path: Path) -> None:
    """Where no call has a price there is no sum of those that are known either."""
    found = row(bundle(tmp_path / "b", calls=[end_fields(cost_usd=None)]))
    assert (found["cost_usd"], found["known_cost_usd"]) == (None, None)


def test_a_page_has_a_row_without_facts() -> None:
    """A published page's zeros for tokens and calls are null; its other numbers stay as they are."""
    for page in PAGES:
        found = row(page)
        assert found["started_at"] is None
        assert found["total_tokens"] is None
        assert found["model_call_ms"] is None
        assert found["wall_clock_ms"] > 0
        assert found["composite_published_1"] is not None


def test_a_cell_json_on_its_own_has_the_same_row(tmp_path: Path) -> None:
    """A `cell.json` without its bundle has the row of the bundle, as far as its scores go."""
    folder = bundle(tmp_path / "b", calls=[end_fields()])
    alone = Path(shutil.copy(folder / "cell.json", tmp_path / "alone.json"))
    assert row(alone) == {**row(folder), "stopped": None}


def test_the_text_of_a_page_has_the_row_of_its_json() -> None:
    """Both forms of a published page give the same numbers."""
    for page in PAGES:
        ours, text = row(page), row(page.with_suffix(".page.txt"))
        same = ("cell_id", "passed", "wall_clock_ms", "total_changes", "composite_published_1")
        assert [ours[name] for name in same] == [text[name] for name in same]


def test_a_cell_of_another_harness_has_a_row() -> None:
    """What another harness wrote down is under `self_`; what it did not look at is null."""
    trial = next(IMPORTS.rglob("two-steps*/result.json"))
    found = row(trial)
    assert found["imported_from"] == "harbor.trial"
    assert found["self_source"] == "self_reported"
    assert found["self_total_tokens"] is not None
    assert (found["total_tokens"], found["blast_radius"], found["integrity"]) == (None, None, None)


def test_axes_that_apply_are_true_or_false(tmp_path: Path) -> None:
    """Where a task can be cheated, integrity is a yes or no."""
    [page] = [page for page in PAGES if "ambiguous" in page.name]
    found = row(page)
    assert found["expected_refusal"] is True
    assert isinstance(found["refused"], bool)
    assert isinstance(found["integrity"], bool)
    assert row(bundle(tmp_path / "b"))["integrity"] is None
