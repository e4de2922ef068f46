from pathlib import Path
from typing import Any

import pytest

from cab.scoring.imports import read_cells
from tests.scoring.imports.files import (
    SWE_AGENT_0,
    SWE_AGENT_1,
    assert_rejected,
    cells_of,
    changed,
    changed_cell,
)


def test_a_trajectory_is_a_cell_without_a_verdict() -> None:
    """The folder of the run is the sweep, the file the task; the model is in the stored configuration."""
    [cell] = cells_of(SWE_AGENT_1)
    assert cell.cell_id == "default__small-1/swe-agent/vendor/small-1/swe-agent/demo__lib-1"
    assert (cell.passed, cell.stopped, cell.wall_clock_ms) == (None, False, None)
    assert cell.reason == "exit status submitted, a patch; a trajectory holds no verdict"
    assert (cell.origin.version, cell.origin.verdicts) == ("1.1.0", False)
    own = cell.self_reported
    assert own is not None
    assert (own.prompt_tokens, own.completion_tokens, own.total_tokens) == (7141, 243, 7384)
    assert (own.model_calls, own.cost_usd) == (5, "0.0195")


def test_an_older_trajectory_names_no_model() -> None:
    """Before 1.0 there is no configuration; 0 tokens of a run with steps are not measured."""
    [cell] = cells_of(SWE_AGENT_0)
    assert cell.cell_id == "older/swe-agent/unknown/swe-agent/demo__lib-2"
    assert cell.reason == "exit status exit_cost, no patch; a trajectory holds no verdict"
    own = cell.self_reported
    assert own is not None
    assert (own.prompt_tokens, own.completion_tokens, own.total_tokens) == (None, None, None)


@pytest.mark.parametrize("config", [None, "{", "[]", "{}", '{"agent": {"model": {"name": 7}}}', {}])
def test_a_configuration_may_name_no_model(tmp_path: Path, config: Any) -> None:
    """Whatever the configuration is, the run is read."""
    cell = changed_cell(SWE_AGENT_1, tmp_path, {"replay_config": config})
    assert "/swe-agent/unknown/swe-agent/" in cell.cell_id


def test_an_agent_that_ran_out_of_time_was_stopped(tmp_path: Path) -> None:
    """It may have submitted what it had; without counts there is no count."""
    info = {"exit_status": "submitted (exit_total_execution_time)"}
    cell = changed_cell(SWE_AGENT_1, tmp_path, {"info": info})
    assert (cell.stopped, cell.self_reported) == (True, None)


@pytest.mark.parametrize(
    ("way", "value"),
    [("info.model_stats.tokens_sent", -1), ("info.exit_status", 3), ("trajectory.0", "text")],
)
def test_a_wrong_field_is_named(tmp_path: Path, way: str, value: Any) -> None:
    """A field of the wrong type or out of range is named."""
    assert_rejected(read_cells, changed(SWE_AGENT_1, tmp_path, {way: value}), way)
