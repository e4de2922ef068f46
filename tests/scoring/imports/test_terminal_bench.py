from pathlib import Path
from typing import Any

import pytest

from cab.scoring.imports import Note
from tests.scoring.imports.files import TB_RUN, TB_TRIAL, cells_of, changed, changed_cell


def test_each_attempt_is_a_run_of_its_task() -> None:
    """Attempts of a task share an id; the run, its agent, model and dataset are from its metadata."""
    first, second, *_ = cells_of(TB_RUN)
    assert first.cell_id == second.cell_id
    assert first.cell_id == "tb-run/terminus-2/vendor/small-1/terminal-bench-core/hello-world"
    assert (first.origin.name, second.origin.name) == (
        "hello-world.1-of-2.tb-run",
        "hello-world.2-of-2.tb-run",
    )
    assert first.origin.id != second.origin.id


def test_a_trial_has_its_times_tokens_and_failure() -> None:
    """The clock runs from the trial's start to the agent's end; 1 of 2 tests is half a score."""
    first, second, third, _ = cells_of(TB_RUN)
    assert (first.wall_clock_ms, first.agent_ms, first.partial_score) == (90_500.0, 80_500.0, 1.0)
    assert first.self_reported is not None
    assert first.self_reported.total_tokens == 1280
    assert (second.passed, second.stopped, second.partial_score) == (0, True, 0.5)
    assert second.reason == "not resolved; agent_timeout"
    assert (third.self_reported, third.wall_clock_ms) == (None, None)


@pytest.mark.parametrize(
    ("resolved", "mode", "passed", "reason"),
    [
        (True, "agent_timeout", 1, "resolved; agent_timeout"),
        (False, "none", 0, "not resolved"),
        (None, "test_timeout", 0, "no verdict of the tests; test_timeout"),
        (None, "unset", None, "not evaluated; Terminal-Bench counts it as not resolved"),
        (False, "agent_installation_failed", None, "the agent could not be installed"),
        (None, "of_the_future", None, "not evaluated; of_the_future"),
    ],
)
def test_what_a_failure_means(
    tmp_path: Path, resolved: bool | None, mode: str, passed: int | None, reason: str
) -> None:
    """The tests decide; without them the agent's own end is a fail, and the machine's is no verdict."""
    cell = changed_cell(TB_TRIAL, tmp_path, {"is_resolved": resolved, "failure_mode": mode})
    assert cell.passed == passed
    assert cell.reason.startswith(reason)


def test_without_metadata_the_folder_is_the_run(tmp_path: Path) -> None:
    """What is not said is unknown; a trial's file alone lies two folders below its run's."""
    (tmp_path / "run-9/task/trial").mkdir(parents=True)
    [cell] = cells_of(changed(TB_TRIAL, tmp_path / "run-9/task/trial", {}))
    assert cell.cell_id == "run-9/unknown/unknown/terminal-bench/hello-world"


@pytest.mark.parametrize(
    ("field", "value"),
    [("is_resolved", 1), ("task_id", None), ("total_input_tokens", -1), ("failure_mode", 3)],
)
def test_a_broken_trial_does_not_cost_the_others(tmp_path: Path, field: str, value: Any) -> None:
    """One trial of four is lost, and named by its place."""
    notes: list[Note] = []
    path = changed(TB_RUN, tmp_path, {f"results.1.{field}": value})
    assert len(cells_of(path, notes)) == 3
    [note] = notes
    assert note.row_lost
    assert note.text.startswith(f"results.1.{field}: ")


def test_an_impossible_clock_of_a_trial_is_its_own(tmp_path: Path) -> None:
    """The note stands in the cell whose clock it is, and in no other."""
    notes: list[Note] = []
    path = changed(TB_RUN, tmp_path, {"results.0.agent_ended_at": "2025-08-10T21:53:00+00:00"})
    first, second, *_ = cells_of(path, notes)
    assert (first.wall_clock_ms, second.wall_clock_ms) == (None, 90_500.0)
    assert [bool(cell.notes) for cell in (first, second)] == [True, False]
    assert {note.text for note in notes} == set(first.notes)
