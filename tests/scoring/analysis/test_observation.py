from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas
import pytest

from cab.scoring import (
    BadCellId,
    BadObservation,
    BadRecord,
    ScoringError,
    SelfReport,
    Settings,
    Span,
    aggregate,
    compare,
    reconcile,
    score_cells,
    score_path,
)
from cab.scoring.analysis.observation import Observation, SelfCount
from cab.scoring.analysis.observe import observe, observe_axes, observe_row
from tests.scoring.builders import CELL_ID, FIXTURES, end_fields, spans
from tests.scoring.cells.test_bundle import stored
from tests.scoring.imports.files import LINES, RUN_REPORT, VERSION_1
from tests.scoring.results import own_count, result, stored_cell
from tests.tools.programs import run_python


def test_a_bundle_is_read_whole(tmp_path: Path) -> None:
    """A scored bundle gives its tokens, calls and duration; what it does not know stays None."""
    stored(tmp_path / "b", calls=[end_fields("a")])
    [scored] = score_cells(tmp_path / "b")
    seen = observe(scored.as_dict())
    assert (str(seen.cell), seen.passed, seen.decided) == (CELL_ID, True, True)
    assert (seen.prompt_tokens, seen.completion_tokens, seen.total_tokens) == (100, 20, 120)
    assert (seen.model_calls, seen.wall_clock_ms, seen.stopped) == (1, 3000.125, False)
    assert (seen.cost_usd, seen.self_count) == (None, None)


def test_the_agents_own_count_and_its_end_come_along(tmp_path: Path) -> None:
    """A bundle's self-report and an agent stopped at its limit are seen."""
    attrs = {"timed_out": True}
    cut = Span(span_id="s2", kind="container", name="x", start_ms=0, duration_ms=1, attrs=attrs)
    folder = stored_cell(tmp_path, CELL_ID, own=110, spans=[spans()[0], cut])
    [scored] = score_cells(folder)
    seen = observe(scored.as_dict())
    assert seen.self_count == SelfCount("tui_stdout", False, 90, 20, 110)
    assert seen.stopped


def test_a_published_cells_zeros_are_not_measured() -> None:
    """Pages hold 0 tokens and 0 calls where nothing was measured: None here; verdicts stand."""
    for scored in score_cells(FIXTURES):
        seen = observe(scored.as_dict())
        assert (seen.total_tokens, seen.model_calls, seen.cost_usd) == (None, None, None)
        assert seen.passed is not None
        assert seen.wall_clock_ms is not None
        assert not seen.stopped
    assert len([observe(flat) for flat in score_path(FIXTURES)]) == 4


def test_json_lines_serve_as_well() -> None:
    """A result that went through JSON is the same observation; a metered zero is a zero."""
    flat = result(total=None, calls=0, succeeded=None)
    flat["tokens"]["total_tokens"] = 0
    seen = observe(orjson.loads(orjson.dumps(flat)))
    assert (seen.total_tokens, seen.model_calls, seen.cost_usd) == (0, 0, Decimal("0.10"))


@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({}, None),
        ({"passed": 0}, None),
        ({"passed": None}, "check_did_not_run"),
        ({"succeeded": 0}, "no_model_call"),
        ({"succeeded": None}, None),
    ],
)
def test_who_failed(changes: dict[str, Any], failure: str | None) -> None:
    """A check that did not run and a cell without a successful call say nothing of the agent."""
    seen = observe(result(**changes))
    assert seen.failure == failure
    assert seen.decided is (failure is None)


def test_what_never_holds_a_verdict_is_not_a_failure() -> None:
    """Predictions and trajectories have none by their nature; a report's errors were not checked."""
    for path in (LINES, VERSION_1):
        assert {observe(flat).failure for flat in score_path(path)} == {"no_verdict"}
    assert {observe(flat).failure for flat in score_path(RUN_REPORT)} == {None, "check_did_not_run"}


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("tokens", "total_tokens"), -1, "not a measurement"),
        (("tokens", "total_tokens"), True, "not a measurement"),
        (("tokens", "total_tokens"), "120", "not a measurement"),
        (("tokens", "total_tokens"), 1.5, "not a count"),
        (("latency", "wall_clock_ms"), float("nan"), "not a measurement"),
        (("latency", "wall_clock_ms"), float("inf"), "not a measurement"),
        (("pass_rate", "pass"), 2, "not a verdict"),
        (("cost", "cost_usd"), "free", "not an amount of money"),
        (("cost", "cost_usd"), "-1", "not an amount of money"),
        (("cost", "cost_usd"), "NaN", "not an amount of money"),
        (("self_reported", "source"), 7, "not a text"),
    ],
)
def test_a_wrong_number_names_cell_and_field(
    path: tuple[str, str], value: object, reason: str
) -> None:
    """What is not a number is an error with the cell's path and the field."""
    flat = result(own=120)
    flat[path[0]][path[1]] = value
    with pytest.raises(BadRecord, match=reason) as caught:
        observe(flat)
    assert caught.value.path == "runs/s/aider/m/f/one"
    assert caught.value.field == ".".join(path)


def test_a_wrong_axis_or_id_is_an_error() -> None:
    """An axis that is not an object, and an id that does not split, are named."""
    with pytest.raises(BadRecord, match="is not in an object"):
        observe({**result(), "tokens": 7})
    with pytest.raises(BadCellId):
        observe({**result(), "cell_id": "x"})
    with pytest.raises(BadRecord, match=r"s/aider/m/f/one: pass_rate\.pass"):
        observe({"cell_id": "s/aider/m/f/one", "pass_rate": {"pass": "yes"}})


def test_missing_axes_are_not_measured() -> None:
    """A result with an id and a verdict alone is an observation of these."""
    seen = observe({"cell_id": "s/aider/m/f/one", "pass_rate": {"pass": 1}, "self_reported": None})
    assert (seen.passed, seen.total_tokens, seen.cost_usd, seen.wall_clock_ms) == (
        True,
        None,
        None,
        None,
    )
    assert own_count(None) is None


ID = "s/a/m/f/t"


def ob(cell: Any, *values: Any, **fields: Any) -> Observation:
    """Return an observation as callers without types make one: the cell may be a text."""
    return Observation(cell, *values, **fields)


def test_a_task_a_verdict_and_tokens_are_enough() -> None:
    """What is not given has a default: unknown is None, and parts of the id are `unknown`."""
    seen = observe_row({"task": "f/t", "passed": True, "tokens": 120})
    assert seen == ob("unknown/unknown/unknown/f/t", passed=True, total_tokens=120)
    assert (seen.cost_usd, seen.wall_clock_ms, seen.stopped, seen.failure) == (
        None,
        None,
        False,
        None,
    )
    assert str(observe_row({"task": "t", "agent": "a", "run": 2}).cell) == (
        "unknown/a/unknown/unknown/t#run2"
    )


ROWS = {
    "task": ["f/t", "f/u", "f/v", "f/w"],
    "agent": ["a", "a", "b", "b"],
    "passed": [True, False, None, True],
    "tokens": [100, 200, None, 300],
    "cost_usd": [0.1, None, None, 0.25],
    "wall_clock_ms": [1.5, 2.0, None, 4],
    "stopped": [False, True, False, None],
}
WORDS = [dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)]


@pytest.mark.parametrize("form", ["records", "iterrows", "itertuples", "nullable", "numpy"])
def test_rows_of_pandas_are_the_same_as_dicts(form: str) -> None:
    """Whatever a table makes of a gap (NaN, NA, None), and of numbers beside it, the cells are the same."""
    frame = pandas.DataFrame(ROWS)
    nullable = frame.convert_dtypes()
    rows: dict[str, Iterable[object]] = {
        "records": frame.to_dict("records"),
        "iterrows": (row for _, row in frame.iterrows()),
        "itertuples": frame.itertuples(index=False),
        "nullable": (row for _, row in nullable.iterrows()),
        "numpy": [
            {
                **row,
                "passed": None if row["passed"] is None else np.bool_(row["passed"]),
                "tokens": np.float64("nan") if row["tokens"] is None else np.int64(row["tokens"]),
            }
            for row in WORDS
        ],
    }
    assert [observe_row(row) for row in rows[form]] == [observe_row(row) for row in WORDS]
    assert [observe_row(row).total_tokens for row in WORDS] == [100, 200, None, 300]
    assert "pandas" not in run_python(
        "-c", "import sys, cab.scoring.analysis; print([n for n in sys.modules if n == 'pandas'])"
    )


@pytest.mark.parametrize("yes", [True, 1, 1.0, np.bool_(True), np.int64(1)])
def test_a_verdict_counts_the_same_everywhere(yes: Any) -> None:
    """However a pass is written, `aggregate` and `compare` count one; None is no verdict in both."""
    cells = [ob(ID, yes), ob("s/a/m/f/u", False), ob("s/a/m/f/v")]
    assert cells[0].passed is True
    [group] = aggregate(cells)
    [found] = compare(("a", cells), ("b", [ob(f"s/b/m/f/{task}", True) for task in "tuv"]))
    assert (group.passed, group.failed, group.infrastructure) == (1, 1, {"no_verdict": 1})
    assert (found.task_weighted_a, found.pairs, found.infrastructure_a) == (1 / 2, 2, 1)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("passed", "pass", "is 'pass', which is not a verdict"),
        ("passed", 2, "is 2, which is not a verdict"),
        ("passed", float("nan"), "is nan, which is not a verdict"),
        ("passed", np.array([True]), "is of type ndarray, which is not a verdict"),
        ("stopped", "no", "is 'no', which is neither True nor False"),
        ("total_tokens", "120", "is '120', which is not a measurement"),
        ("total_tokens", True, "is True, which is not a measurement"),
        ("total_tokens", 1.5, "is 1.5, which is not a count"),
        ("total_tokens", -1, "is -1, which is not a measurement"),
        ("model_calls", 10**400, "is of type int, which is not a measurement"),
        ("wall_clock_ms", float("inf"), "is inf, which is not a measurement"),
        ("cost_usd", "free", "is 'free', which is not an amount of money"),
        ("cost_usd", True, "is True, which is not an amount of money"),
        ("cost_usd", 10**400, "is of type int, which is not an amount of money"),
        ("composite", 1.5, "is 1.5, which is not a measurement from 0 to 1"),
        ("self_count", {"source": "x"}, "is not a SelfCount"),
        (
            "failure",
            "timeout",
            "is not one of check_did_not_run, no_model_call, no_verdict; a time-out",
        ),
    ],
)
def test_a_value_that_is_not_of_its_kind_is_refused(field: str, value: Any, reason: str) -> None:
    """The error names cell, field and value, and is a ScoringError and a ValueError."""
    with pytest.raises(BadObservation) as caught:
        ob(ID, **{"passed": True, field: value})
    assert (caught.value.cell, caught.value.field) == (ID, field)
    assert str(caught.value).startswith(f"{ID}: {field} {reason}")
    assert isinstance(caught.value, ScoringError | ValueError)


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 99},
        {"prompt_tokens": 10, "total_tokens": 9},
        {"failure": "check_did_not_run"},
        {"failure": "no_verdict"},
    ],
)
def test_values_that_contradict_each_other_are_refused(fields: dict[str, Any]) -> None:
    """A total that is not its parts, and a verdict of a check that did not run, cannot both be true."""
    with pytest.raises(BadObservation, match=f"^{ID}: (total_tokens|failure) is "):
        ob(ID, True, **fields)


def test_what_is_not_given_follows_from_the_rest() -> None:
    """A total is the sum of two known parts; a cell without verdict has `no_verdict`, and keeps what is given."""
    seen = ob(ID, None, prompt_tokens=10, completion_tokens=5)
    assert (seen.total_tokens, seen.failure) == (15, "no_verdict")
    assert ob(ID, None, "check_did_not_run").failure == "check_did_not_run"
    assert ob(ID, True, "no_model_call").decided is False
    assert ob(ID, False, stopped=True).decided


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"passed": True}, "task is missing: which task was it?"),
        (
            {"task": "t", "token": 1},
            "token is not a column of an observation; did you mean 'tokens'?",
        ),
        (
            {"task": "t", "tokens": 1, "total_tokens": 1},
            "total_tokens is there under another name too",
        ),
        ({"cell_id": ID, "task": "t"}, f"{ID}: task is there beside the id of the cell"),
        ({"task": 7}, "task is not a text"),
        ({"task": "t", "run": "two"}, "run is 'two', which is not a measurement"),
        ({1: 2}, "1 is not the name of a column"),
        (7, "a row of type int has no columns"),
    ],
)
def test_a_row_that_is_not_understood_is_refused(row: Any, reason: str) -> None:
    """A slip of the pen in a column's name is not taken for unknown data."""
    with pytest.raises(BadObservation) as caught:
        observe_row(row)
    assert str(caught.value).startswith(reason)


def test_a_task_that_makes_no_id_is_refused() -> None:
    """A part that cannot stand in a cell id, and a cell that is none, are named."""
    for row in ({"task": "a/b/c"}, {"task": "t#1"}, {"task": "t", "run": 0}, {"cell_id": "t"}):
        with pytest.raises(BadCellId):
            observe_row(row)
    with pytest.raises(BadObservation, match="cell is neither a CellId nor a text"):
        ob(7)


def test_axes_and_a_composite_make_an_observation(tmp_path: Path) -> None:
    """Axes that a harness made itself come to the same as the result that is made of them."""
    stored(tmp_path / "b", calls=[end_fields("a")])
    [scored] = score_cells(tmp_path / "b")
    made = observe_axes(CELL_ID, scored.axes, scored.composite)
    assert made == observe(scored.as_dict())
    assert observe_axes(CELL_ID, scored.axes).composite is None
    own = SelfReport(**(own_count(110) or {}))
    assert observe_axes(CELL_ID, scored.axes, 0.5, stopped=True, self_reported=own).stopped


def test_an_endpoint_that_contradicts_itself_keeps_its_total() -> None:
    """A metered total that is not the sum of its parts is the one that is scored; its parts are not known."""
    flat = result(total=120)
    flat["tokens"]["completion_tokens"] = 5
    seen = observe(flat)
    assert (seen.prompt_tokens, seen.completion_tokens, seen.total_tokens) == (None, None, 120)


def test_without_any_attempt_no_model_call_succeeded() -> None:
    """A metered cell without calls is no cheap pass, also where the axis `calls` was left out."""
    flat = result(calls=0, total=0)
    del flat["calls"]
    assert observe(flat).failure == "no_model_call"


@pytest.mark.parametrize(
    "work",
    [
        lambda: observe(7),  # type: ignore[arg-type]
        lambda: aggregate([result()]),  # type: ignore[list-item]
        lambda: aggregate([], by=("agent",)),  # type: ignore[arg-type]
        lambda: aggregate([ob(ID, True)], ks=(0,)),
        lambda: compare(("a", [result()]), ("b", [])),  # type: ignore[list-item]
        lambda: compare(("a", []), ("b", []), ["tokens"]),  # type: ignore[list-item]
        lambda: compare(("a", []), ("b", []), power=1),
        lambda: reconcile([7]),  # type: ignore[list-item]
        lambda: SelfCount(""),
        lambda: SelfCount("x", total_tokens=-1),
        lambda: Settings(confidence=95),
        lambda: Settings(min_coverage="all"),  # type: ignore[arg-type]
        lambda: Settings(seed=0.5),  # type: ignore[arg-type]
    ],
)
def test_only_documented_errors_are_raised(work: Callable[[], object]) -> None:
    """Whatever callers without types give, a ValueError says what is wrong."""
    with pytest.raises(ValueError, match=r"\w+ "):
        work()
