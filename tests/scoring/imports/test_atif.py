from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.scoring.exports.atif import trajectory
from cab.scoring.imports import Note, read_cells
from tests.scoring.exports.cells import source
from tests.scoring.imports.files import (
    TRAJECTORY,
    assert_rejected,
    cells_of,
    changed,
    changed_cell,
    written,
)


def test_a_trajectory_has_counts_and_a_clock() -> None:
    """Its totals, calls and time are there, its job and its trial by the folders; a verdict is not."""
    [cell] = cells_of(TRAJECTORY)
    assert cell.cell_id == "nightly/mini-swe-agent/vendor/small-1/harbor/fix-git"
    assert (cell.passed, cell.origin.version, cell.origin.verdicts) == (None, "ATIF-v1.8", False)
    assert (cell.wall_clock_ms, cell.agent_ms) == (70_500.0, 70_500.0)
    own = cell.self_reported
    assert own is not None
    assert (own.prompt_tokens, own.completion_tokens, own.cache_read_tokens) == (12000, 900, 8000)
    assert (own.model_calls, own.cost_usd) == (2, "0.0425")


def test_without_totals_the_steps_are_summed(tmp_path: Path) -> None:
    """Two answers, 5000 + 7000 tokens; one without a count leaves no sum."""
    whole = changed_cell(TRAJECTORY, tmp_path, {"final_metrics": None}).self_reported
    assert whole is not None
    assert (whole.prompt_tokens, whole.total_tokens) == (12000, 12900)
    part = changed_cell(TRAJECTORY, tmp_path, {"final_metrics": None, "steps.1.metrics": None})
    assert part.self_reported is not None
    assert (part.self_reported.prompt_tokens, part.self_reported.cost_usd) == (None, None)
    changes = {"final_metrics": None, "steps.1.metrics": None, "steps.2.metrics": None}
    assert changed_cell(TRAJECTORY, tmp_path, changes).self_reported is None


@pytest.mark.parametrize(
    ("changes", "calls"),
    [
        ({"steps.1.llm_call_count": 3}, 4),
        ({"steps.1.llm_call_count": 0}, 1),
        ({"steps.1.is_copied_context": True}, 1),
        ({"steps.1.llm_call_count": None}, None),
    ],
)
def test_calls_are_what_the_steps_say(
    tmp_path: Path, changes: dict[str, Any], calls: int | None
) -> None:
    """A step may stand for several calls or none; where one does not say, the number is unknown."""
    own = changed_cell(TRAJECTORY, tmp_path, changes).self_reported
    assert own is not None
    assert own.model_calls == calls


def test_sub_agents_leave_no_tokens(tmp_path: Path) -> None:
    """Whether totals count sub-agents, no version says: the tokens are unknown, the cost is whole."""
    notes: list[Note] = []
    changes = {"subagent_trajectories": [{}], "continued_trajectory_ref": "next.json"}
    [cell] = cells_of(changed(TRAJECTORY, tmp_path, changes), notes)
    assert cell.self_reported is not None
    assert (cell.self_reported.prompt_tokens, cell.self_reported.cost_usd) == (None, "0.0425")
    assert [note.text.partition(":")[0] for note in notes] == [
        "subagent_trajectories",
        "continued_trajectory_ref",
    ]


def test_what_we_export_is_read_back(tmp_path: Path) -> None:
    """A trajectory that we wrote gives the id and the counts of the cell that it was made of."""
    exported = source(tmp_path / "cell")
    [cell] = cells_of(written(tmp_path / "t.json", orjson.dumps(trajectory(exported))))
    assert cell.cell_id == str(exported.cell_id)
    tokens = exported.cell.scorers.tokens
    assert cell.self_reported is not None
    assert cell.self_reported.prompt_tokens == tokens.prompt_tokens
    assert cell.self_reported.model_calls == tokens.model_calls


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"schema_version": "ATIF-v2.0"}, "schema_version", "not known"),
        ({"agent": {}}, "agent.name", "required"),
        ({"steps.1.metrics.prompt_tokens": -1}, "steps.1.metrics.prompt_tokens", "greater"),
    ],
)
def test_a_wrong_field_is_named(
    tmp_path: Path, changes: dict[str, Any], field: str, reason: str
) -> None:
    """A field of the wrong type, or a later version, is named."""
    assert_rejected(read_cells, changed(TRAJECTORY, tmp_path, changes), field, reason)


@pytest.mark.parametrize(
    ("session", "task"), [("s-1", "s-1"), (None, "trajectory"), ("a/b", "a__b")]
)
def test_outside_of_a_trial_the_session_is_the_task(
    tmp_path: Path, session: str | None, task: str
) -> None:
    """Without one, the file has its name; steps that were only copied are no time."""
    changes = {"session_id": session, "steps.0.is_copied_context": True}
    changes |= {"steps.1.is_copied_context": True, "steps.2.is_copied_context": True}
    cell = changed_cell(TRAJECTORY, tmp_path, changes)
    assert cell.cell_id == f"imported/mini-swe-agent/vendor/small-1/harbor/{task}"
    assert cell.wall_clock_ms is None
