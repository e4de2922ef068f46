import shutil
from pathlib import Path
from typing import Any

import pytest

from cab.scoring.imports import Note
from tests.scoring.imports.files import (
    DETAILS,
    OLDER_SUBMISSION,
    SUBMISSION,
    cells_of,
    changed,
    written,
)


def outcomes(path: Path, notes: list[Note] | None = None) -> dict[str | None, int | None]:
    """Return instance -> verdict."""
    return {cell.origin.name: cell.passed for cell in cells_of(path, notes)}


def test_what_is_not_listed_was_predicted_and_not_resolved() -> None:
    """A submission lists what it resolved; the rest of its predictions was not. No logs are no verdict."""
    assert outcomes(SUBMISSION) == {
        "demo__lib-1": 1,
        "demo__lib-2": 0,
        "demo__lib-3": 0,
        "demo__lib-4": None,
    }
    [first, *_] = cells_of(SUBMISSION)
    assert first.cell_id == "20250101_demo/unknown/unknown/swe-bench/demo__lib-1"


def test_without_predictions_the_rate_is_said_to_be_too_high(tmp_path: Path) -> None:
    """The instances that failed are nowhere: the file is read, and its rate is no rate."""
    notes: list[Note] = []
    path = Path(shutil.copy(SUBMISSION, tmp_path))
    assert outcomes(path, notes) == {"demo__lib-1": 1, "demo__lib-3": 0, "demo__lib-4": None}
    [note] = notes
    assert note.text.endswith("a pass rate of these cells alone is too high")


def test_predictions_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """A broken file of predictions is as none."""
    notes: list[Note] = []
    path = Path(shutil.copy(SUBMISSION, tmp_path))
    written(tmp_path / "preds.json", b"{")
    assert len(outcomes(path, notes)) == 3
    assert "preds.json:1: not valid JSON" in notes[0].text


def test_an_older_submission_lists_what_became_of_each_patch() -> None:
    """What was generated and is in no other list was not resolved; the machine's faults are no verdict."""
    found = {cell.origin.name: (cell.passed, cell.reason) for cell in cells_of(OLDER_SUBMISSION)}
    assert found == {
        "demo__lib-1": (1, "resolved"),
        "demo__lib-2": (0, "not resolved"),
        "demo__lib-3": (0, "not resolved: the patch did not apply"),
        "demo__lib-4": (None, "not evaluated: the installation failed"),
        "demo__lib-9": (0, "no patch"),
    }


def test_details_have_cost_and_calls() -> None:
    """Each instance has a verdict, a cost and a number of calls; tokens are unknown."""
    one, two = cells_of(DETAILS)
    assert (one.passed, two.passed) == (1, 0)
    assert one.cell_id == "20250901_mini/unknown/unknown/swe-bench/demo__lib-1"
    own = one.self_reported
    assert own is not None
    assert (own.model_calls, own.cost_usd, own.total_tokens) == (32, "0.72", None)


@pytest.mark.parametrize(
    ("way", "value"),
    [("demo__lib-1.resolved", 1), ("demo__lib-1.api_calls", -1), ("demo__lib-1.cost", 1e300)],
)
def test_a_wrong_instance_is_left_out(tmp_path: Path, way: str, value: Any) -> None:
    """The other instances count."""
    notes: list[Note] = []
    assert outcomes(changed(DETAILS, tmp_path, {way: value}), notes) == {"demo__lib-2": 0}
    assert notes[0].text.startswith(f"{way}: ")


def test_unknown_cost_and_calls_are_no_count(tmp_path: Path) -> None:
    """What is null is unknown."""
    row = {"demo__lib-1": {"resolved": True, "cost": None, "api_calls": None}}
    [cell] = cells_of(written(tmp_path / "x.json", row))
    assert (cell.passed, cell.self_reported) == (1, None)


def test_the_first_submissions_are_by_repository(tmp_path: Path) -> None:
    """The lists of all repositories are one submission."""
    by_repo = {
        "org/a": {"none": ["a__a-1"], "generated": ["a__a-2"], "applied": [], "resolved": []},
        "org/b": {"none": [], "generated": ["b__b-1"], "applied": [], "resolved": ["b__b-1"]},
    }
    path = written(tmp_path / "results.json", by_repo)
    assert outcomes(path) == {"a__a-1": 0, "a__a-2": 0, "b__b-1": 1}
