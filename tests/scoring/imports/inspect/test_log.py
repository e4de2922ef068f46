from pathlib import Path
from typing import Any

import pytest

from cab.scoring.imports import ImportedCell, Note, read_cells
from tests.scoring.imports.files import (
    INSPECT,
    assert_rejected,
    cells_of,
    changed,
    changed_cell,
)

USAGE = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}


def first(folder: Path, changes: dict[str, Any]) -> ImportedCell:
    """Return the first cell of the log with other values at some places."""
    return cells_of(changed(INSPECT, folder, changes))[0]


def test_each_epoch_of_a_sample_is_a_run() -> None:
    """The run is the sweep, the solver the agent, the task the family, and the sample the task."""
    one, two, failed = cells_of(INSPECT)
    assert one.cell_id == two.cell_id == "run-7/react/vendor/small-1/swe_demo/lib-1"
    assert (one.origin.name, two.origin.name) == ("lib-1 epoch 1", "lib-1 epoch 2")
    assert (one.origin.version, one.origin.id) == ("0.3.285", "ulib-11")
    assert failed.cell_id.endswith("/swe_demo/2")


def test_a_sample_has_verdict_time_and_counts() -> None:
    """400 input + 500 read from + 100 written to a cache are a prompt of 1000; cached answers are no call."""
    one, two, failed = cells_of(INSPECT)
    assert (one.passed, one.reason, one.wall_clock_ms) == (1, "includes C", 30_500.0)
    own = one.self_reported
    assert own is not None
    assert (own.prompt_tokens, own.completion_tokens, own.total_tokens) == (1000, 90, 1090)
    assert (own.cache_read_tokens, own.reasoning_tokens, own.cost_usd) == (500, 30, "0.01")
    assert own.model_calls == 1
    assert (two.passed, two.stopped, two.reason) == (0, True, "includes I; limit: time")
    assert failed.passed is None
    assert failed.self_reported is not None
    assert failed.self_reported.prompt_tokens is None
    assert "boom" not in failed.reason


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({"s": {"value": "P"}}, (0, 0.5)),
        ({"s": {"value": "N"}}, (0, 0.0)),
        ({"s": {"value": 1}}, (1, 1.0)),
        ({"s": {"value": 0.25}}, (0, 0.25)),
        ({"s": {"value": True}}, (1, 1.0)),
        ({"s": {"value": 7}}, (None, None)),
        ({"s": {"value": "yes"}}, (None, None)),
        ({"s": {"value": {"a": 1}}}, (None, None)),
        ({"s": {"value": None}}, (None, None)),
        ({"a": {"value": 1}, "b": {"value": 0}}, (None, None)),
        ({}, (None, None)),
        (None, (None, None)),
    ],
)
def test_what_score_is_a_verdict(tmp_path: Path, scores: Any, expected: Any) -> None:
    """Inspect's letters and numbers from 0 to 1 are verdicts, if there is only one score."""
    cell = first(tmp_path, {"samples.0.scores": scores})
    assert (cell.passed, cell.partial_score) == expected


def test_the_headline_is_the_score_that_counts(tmp_path: Path) -> None:
    """Of several scores the log may say which one counts."""
    scores = {"a": {"value": "C"}, "b": {"value": "I"}}
    headline = {"scorer": "b", "name": "accuracy"}
    cell = first(tmp_path, {"samples.0.scores": scores, "eval.headline_metric": headline})
    assert (cell.passed, cell.reason) == (0, "b I")


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"eval.eval_set_id": "set-1"}, "set-1/react/"),
        ({"eval.solver": None}, "run-7/react/"),
        ({"eval.solver": None, "plan": {"steps": []}}, "run-7/unknown/"),
        ({"eval.run_id": None}, "imported/react/"),
        ({"eval.task": "org/demo"}, "run-7/react/vendor/small-1/org__demo/"),
    ],
)
def test_what_names_the_cells(tmp_path: Path, changes: dict[str, Any], start: str) -> None:
    """What a log does not say is unknown."""
    assert first(tmp_path, changes).cell_id.startswith(start)


def test_usage_of_several_models_is_summed(tmp_path: Path) -> None:
    """A part that one of them does not report is unknown."""
    own = first(tmp_path, {"samples.0.model_usage.other": USAGE}).self_reported
    assert own is not None
    assert (own.prompt_tokens, own.cache_read_tokens, own.cost_usd) == (1001, None, None)


def test_an_unfinished_log_says_so(tmp_path: Path) -> None:
    """Its samples are read, and the log is said not to be complete."""
    notes: list[Note] = []
    assert len(cells_of(changed(INSPECT, tmp_path, {"status": "started"}), notes)) == 3
    assert notes[0].text == "the log is not complete: its status is started"


def test_a_broken_sample_does_not_cost_the_others(tmp_path: Path) -> None:
    """One sample of three is lost, and named; an impossible time is lost alone."""
    notes: list[Note] = []
    changes = {"samples.0.model_usage": {"m": {}}, "samples.1.total_time": -1}
    [second, _] = cells_of(changed(INSPECT, tmp_path, changes), notes)
    assert (second.passed, second.wall_clock_ms) == (0, None)
    assert [note.row_lost for note in notes] == [True, False]
    assert notes[0].text.startswith("samples.0.model_usage.m.input_tokens: ")


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"version": 3}, "version", "not known"),
        ({"eval.model": 7}, "eval", "no model"),
        ({"version": None}, "version", "not known"),
        ({"samples": None}, "samples", "no samples"),
    ],
)
def test_a_log_that_cannot_be_read_is_named(
    tmp_path: Path, changes: dict[str, Any], field: str, reason: str
) -> None:
    """A later version, and a header without samples, are errors."""
    assert_rejected(read_cells, changed(INSPECT, tmp_path, changes), field, reason)


def test_a_sample_may_say_little(tmp_path: Path) -> None:
    """What a sample does not say is unknown."""
    sample = {"id": 1, "epoch": 1, "scores": {"s": {"value": "C"}}}
    cell = changed_cell(INSPECT, tmp_path, {"samples": [sample]})
    assert (cell.passed, cell.self_reported, cell.wall_clock_ms) == (1, None, None)


def test_a_log_of_ours_has_our_score_and_our_ids(tmp_path: Path) -> None:
    """Its sweep is the task and its sample names family and task; other scores are no verdict there."""
    ours = {"eval.metadata": {"cab": {}}, "samples.0.id": "polyglot/one"}
    scores = {"pass_rate": {"value": 1}, "tokens": {"value": 120}}
    cell = first(tmp_path, {**ours, "samples.0.scores": scores})
    assert (cell.cell_id, cell.passed) == ("swe_demo/react/vendor/small-1/polyglot/one", 1)
    none = first(tmp_path, {**ours, "samples.0.scores": {"tokens": {"value": 1}}})
    assert none.passed is None
