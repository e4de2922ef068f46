from pathlib import Path

import pytest
from pydantic import ValidationError

from cab.scoring import PROFILES, composite
from cab.scoring.imports import ImportedCell, read_cells
from tests.scoring.imports.files import ALL, TRIAL, UNVERSIONED


def cells_of(path: Path) -> list[ImportedCell]:
    """Return the cells of a file of another harness."""
    cells = read_cells(path)
    assert isinstance(cells, list)
    return cells


@pytest.mark.parametrize("path", ALL, ids=lambda path: "/".join(path.parts[-2:]))
def test_nothing_imported_is_metered(path: Path) -> None:
    """No count of a file reaches the tokens' axis, and none of it has a price of ours."""
    for cell in cells_of(path):
        axes = cell.axes
        assert (axes.tokens.total_tokens, axes.tokens.model_calls) == (None, None)
        assert (axes.tokens.tokens_per_correct_task, axes.calls, axes.cost) == (None, None, None)
        assert (axes.blast_radius, axes.refusal, axes.integrity) == (None, None, None)
        assert cell.self_reported is None or cell.self_reported.source == "self_reported"


@pytest.mark.parametrize("path", ALL, ids=lambda path: "/".join(path.parts[-2:]))
def test_what_nobody_measured_gives_no_composite(path: Path) -> None:
    """No profile makes a number of a verdict alone, and each says why."""
    for cell in cells_of(path):
        for name in PROFILES:
            result = composite(name, cell.axes)
            assert (result.composite, result.verdict) == (None, "not_scored")
            assert result.reason


def test_the_verdict_and_the_clock_are_axes() -> None:
    """What a file does say has the published keys, and no exit code is made up."""
    [cell] = cells_of(TRIAL)
    axes = cell.axes
    assert (axes.pass_rate.passed, axes.pass_rate.partial_score) == (1, 1.0)
    assert (axes.pass_rate.exit_code, axes.pass_rate.timed_out) == (None, None)
    assert (axes.pass_rate.stdout_tail, axes.pass_rate.stderr_tail) == (None, None)
    assert axes.latency is not None
    assert (axes.latency.wall_clock_ms, axes.latency.container_active_ms) == (90_500.0, 70_500.0)
    assert axes.latency.model_call_ms is None


def test_an_unknown_time_is_not_an_axis() -> None:
    """Without a clock there is no latency, not one of 0."""
    [cell] = cells_of(UNVERSIONED)
    assert cell.axes.latency is None


def test_an_imported_cell_does_not_change() -> None:
    """What was read is frozen."""
    [cell] = cells_of(TRIAL)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(cell, "passed", 0)  # noqa: B010 - a type checker sees the assignment
