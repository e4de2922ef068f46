from pathlib import Path
from typing import Any

import pytest

from cab.scoring.imports import read_aider_results
from tests.scoring.imports.files import ANAGRAM, BOWLING, CLOCK, assert_rejected, changed, written


def test_an_exercise_is_a_cell() -> None:
    """Run, language and exercise come from the folder that the benchmark worked in."""
    cell = read_aider_results(ANAGRAM)
    assert cell.cell_id == "2026-01-05-10-00-00--small/aider/openai/small-1/python/anagram"
    assert (cell.passed, cell.reason) == (1, "tests passed at try 2")
    assert (cell.origin.form, cell.origin.version) == ("aider.results", "5dc9490")
    assert (cell.wall_clock_ms, cell.agent_ms) == (42_500.0, 42_500.0)


def test_its_counts_are_its_own() -> None:
    """Tokens and money stand as the file has them; `thinking_tokens` is a setting and no count."""
    count = read_aider_results(ANAGRAM).self_reported
    assert count is not None
    assert (count.prompt_tokens, count.completion_tokens, count.total_tokens) == (5200, 1100, 6300)
    assert (count.cost_usd, count.reasoning_tokens, count.source) == (
        "0.0123",
        None,
        "self_reported",
    )


def test_the_last_try_counts() -> None:
    """Tests that failed at every try are not a pass; a cost of 0 is kept as the file says it."""
    cell = read_aider_results(BOWLING)
    assert (cell.passed, cell.reason) == (0, "tests failed, tries: 2")
    assert cell.self_reported is not None
    assert cell.self_reported.cost_usd == "0.0"


def test_a_crash_of_the_benchmark_is_not_a_verdict() -> None:
    """An exercise with nothing but an exception has no verdict, and shows no message: it may hold a key."""
    cell = read_aider_results(CLOCK)
    assert cell.cell_id == "2026-01-05-10-00-00--small/aider/unknown/rust/clock"
    assert (cell.passed, cell.self_reported, cell.wall_clock_ms) == (None, None, None)
    assert cell.reason == "the benchmark failed: litellm.exceptions.AuthenticationError"


def test_an_exception_of_no_known_form_is_not_shown(tmp_path: Path) -> None:
    """Where the last line is not an exception's name, nothing of it is shown."""
    path = written(tmp_path / "x.json", {"exception": "7 secrets"})
    assert read_aider_results(path).reason == "the benchmark failed: an exception"


def test_a_file_of_an_older_version_is_read(tmp_path: Path) -> None:
    """Before May 2025 there were no tokens; without any count there is no self-report."""
    old = {"testcase": "bob", "testdir": "tmp/run-1/bob", "model": "m", "tests_outcomes": [True]}
    cell = read_aider_results(written(tmp_path / "x.json", old))
    assert (cell.cell_id, cell.passed) == ("run-1/aider/m/aider/bob", 1)
    assert (cell.self_reported, cell.wall_clock_ms, cell.origin.version) == (None, None, None)
    paid = written(tmp_path / "y.json", {**old, "cost": 0.5, "prompt_tokens": 5})
    count = read_aider_results(paid).self_reported
    assert count is not None
    assert (count.prompt_tokens, count.total_tokens, count.cost_usd) == (5, None, "0.5")


@pytest.mark.parametrize(
    ("testdir", "start"),
    [
        ("/exercises/practice/bob", "imported/aider/openai/small-1/aider/"),
        ("go/exercises/practice/bob", "imported/aider/openai/small-1/go/"),
        ("bob", "imported/aider/openai/small-1/aider/"),
        ("../bob", "imported/aider/openai/small-1/aider/"),
        (".", "imported/aider/openai/small-1/aider/"),
    ],
)
def test_a_folder_may_tell_less(tmp_path: Path, testdir: str, start: str) -> None:
    """What the folder does not say is not made up, and no part of it climbs."""
    cell = read_aider_results(changed(ANAGRAM, tmp_path, {"testdir": testdir}))
    assert cell.cell_id.startswith(start)


def test_tests_that_were_not_run_give_no_verdict(tmp_path: Path) -> None:
    """Without outcomes there is no verdict."""
    cell = read_aider_results(changed(ANAGRAM, tmp_path, {"tests_outcomes": []}))
    assert (cell.passed, cell.reason) == (None, "no tests were run")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tests_outcomes": [1]}, "tests_outcomes.0"),
        ({"tests_outcomes": None}, "tests_outcomes"),
        ({"testcase": None}, "testcase"),
        ({"duration": "1"}, "duration"),
        ({"cost": -1}, "cost"),
        ({"cost": 1e300}, "cost"),
        ({"prompt_tokens": -5}, "prompt_tokens"),
        ({"completion_tokens": "5"}, "completion_tokens"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    """A field of the wrong type or out of range is named with its file."""
    assert_rejected(read_aider_results, changed(ANAGRAM, tmp_path, changes), field)


@pytest.mark.parametrize("seconds", [-1, 1e30])
def test_an_impossible_duration_is_unknown(tmp_path: Path, seconds: float) -> None:
    """A clock that ran backwards loses the time and not the verdict, and the cell says so."""
    cell = read_aider_results(changed(ANAGRAM, tmp_path, {"duration": seconds}))
    assert (cell.passed, cell.wall_clock_ms, cell.agent_ms) == (1, None, None)
    assert cell.notes[0].startswith("duration: by its clock this ended")
