from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.scoring import BadCellId, BadRecord, Span, score_cells, score_path
from cab.scoring.analysis.observation import SelfCount, observe
from tests.scoring.builders import CELL_ID, FIXTURES, end_fields, spans
from tests.scoring.cells.test_bundle import stored
from tests.scoring.imports.files import LINES, RUN_REPORT, VERSION_1
from tests.scoring.results import own_count, result, stored_cell


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
