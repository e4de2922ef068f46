from pathlib import Path
from typing import Any

import pytest

from cab.scoring import BadRecord
from cab.scoring.imports import read_cells
from tests.scoring.imports.files import (
    HAL,
    OLDER_HAL,
    assert_rejected,
    cells_of,
    changed,
    written,
)


def test_each_task_of_a_run_is_a_cell() -> None:
    """The run is the sweep, the benchmark the family; what is in neither list has no verdict."""
    bronze, silver, gold = cells_of(HAL)
    assert bronze.cell_id == ("usaco_demo_1/Demo Agent (small-1)/vendor/small-1/usaco/1_bronze")
    assert [cell.passed for cell in (bronze, silver, gold)] == [1, 0, None]
    assert [cell.wall_clock_ms for cell in (bronze, silver, gold)] == [75_500.0, 20_000.0, 9000.0]


def test_the_calls_of_a_task_are_summed() -> None:
    """800 + 1200 and 50 + 70 tokens, 600 from a cache; a task without calls has no count."""
    bronze, silver, _ = cells_of(HAL)
    own = bronze.self_reported
    assert own is not None
    assert (own.prompt_tokens, own.completion_tokens, own.cache_read_tokens) == (2000, 120, 600)
    assert (own.reasoning_tokens, own.model_calls, own.counted_calls) == (30, 2, 2)
    assert silver.self_reported is None


def test_the_calls_of_an_older_run_are_those_of_weave() -> None:
    """Functions around a call are not calls; the model is not named."""
    one, two = cells_of(OLDER_HAL)
    assert one.cell_id == "swebench_demo/Demo Agent/unknown/swebench_verified_mini/demo__lib-1"
    assert one.self_reported is not None
    assert (one.self_reported.total_tokens, one.self_reported.model_calls) == (540, 1)
    assert (two.passed, two.self_reported) == (0, None)


def test_a_call_without_usage_leaves_no_sum(tmp_path: Path) -> None:
    """One of two calls that is not counted makes the sums unknown."""
    change = {"raw_logging_results.1_bronze.call_metadata.0.usage": None}
    own = cells_of(changed(HAL, tmp_path, change))[0].self_reported
    assert own is not None
    assert (own.prompt_tokens, own.model_calls, own.counted_calls) == (None, 2, 1)


def test_the_model_is_that_of_the_calls_if_nothing_else_names_it(tmp_path: Path) -> None:
    """The arguments of the agent name it first."""
    cells = cells_of(changed(HAL, tmp_path, {"config.agent_args": {}}))
    assert [cell.cell_id.split("/")[2] for cell in cells] == ["small-1", "unknown", "unknown"]


def test_an_upload_that_is_encrypted_says_how_to_read_it(tmp_path: Path) -> None:
    """What HAL publishes must be decrypted first."""
    path = written(tmp_path / "x_UPLOAD.json", {"encrypted_data": "eA==", "salt": "eA=="})
    with pytest.raises(BadRecord, match="hal-decrypt"):
        read_cells(path)


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"results.failed_tasks": ["1_bronze"]}, "results.successful_tasks", "as well as"),
        ({"results.failed_tasks": [{}]}, "results.failed_tasks.0.str", "string"),
        ({"wall_clock_times": {"1_bronze": "x"}}, "wall_clock_times.1_bronze", "number"),
        (
            {
                "results": {"accuracy": 1},
                "wall_clock_times": None,
                "raw_logging_results": None,
            },
            None,
            "holds no run",
        ),
    ],
)
def test_a_wrong_field_is_named(
    tmp_path: Path, changes: dict[str, Any], field: str | None, reason: str
) -> None:
    """A run that contradicts itself, or names no task, is refused."""
    assert_rejected(read_cells, changed(HAL, tmp_path, changes), field, reason)
