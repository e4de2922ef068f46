from pathlib import Path
from typing import Any

import pytest

from cab.scoring import BadRecord
from cab.scoring.imports import ImportedCell, read_harbor
from tests.scoring.imports.files import (
    JOB,
    STEPS,
    TIMED_OUT,
    TRIAL,
    assert_rejected,
    changed,
    written,
)


def test_a_trial_is_a_cell() -> None:
    """Job, agent, model, dataset and task make the id; the trial's own name is kept."""
    cell = read_harbor(TRIAL)
    assert cell.cell_id == "nightly/mini-swe-agent/vendor/small-1/demo-suite/fix-git"
    assert (cell.origin.form, cell.origin.name) == ("harbor.trial", "fix-git__Xk3aQ7p")
    assert (cell.passed, cell.partial_score, cell.reason) == (1, 1.0, "reward 1")
    assert cell.stopped is False


def test_the_prompt_includes_cached_tokens() -> None:
    """The input of a trial counts cached tokens in, as our prompt does: nothing is added."""
    count = read_harbor(TRIAL).self_reported
    assert count is not None
    assert (count.prompt_tokens, count.completion_tokens, count.total_tokens) == (12000, 900, 12900)
    assert (count.cache_read_tokens, count.cost_usd) == (8000, "0.0425")
    assert (count.source, count.exact, count.model_calls) == ("self_reported", True, None)


def test_the_clock_runs_from_the_start_to_the_agents_exit() -> None:
    """Setting up counts and the verifier does not, as with our own cells: 90.5 s and 70.5 s."""
    cell = read_harbor(TRIAL)
    assert (cell.wall_clock_ms, cell.agent_ms) == (90_500.0, 70_500.0)


def test_a_trial_that_ran_out_of_time_has_its_reward_and_no_count() -> None:
    """A part of the reward is not a pass; unknown tokens are None and not 0."""
    cell = read_harbor(TIMED_OUT)
    assert (cell.passed, cell.partial_score, cell.stopped) == (0, 0.5, True)
    assert cell.reason == "AgentTimeoutError; reward 0.5"
    count = cell.self_reported
    assert count is not None
    assert (count.prompt_tokens, count.total_tokens, count.cost_usd) == (None, None, None)


def test_steps_are_summed() -> None:
    """A trial of two steps has the sums of its steps: 1000 + 3000 and 50 + 150 tokens, 20 + 30 s."""
    cell = read_harbor(STEPS)
    count = cell.self_reported
    assert count is not None
    assert (count.prompt_tokens, count.completion_tokens, count.cost_usd) == (4000, 200, "0.03")
    assert (cell.agent_ms, cell.wall_clock_ms) == (50_000.0, 90_000.0)
    assert (cell.passed, cell.partial_score) == (0, 0.0)


def test_one_step_without_a_count_leaves_no_sum(tmp_path: Path) -> None:
    """A sum of which a part is missing is not known."""
    path = changed(STEPS, tmp_path, {"step_results.1.agent_result.n_input_tokens": None})
    count = read_harbor(path).self_reported
    assert count is not None
    assert (count.prompt_tokens, count.completion_tokens) == (None, 200)
    assert count.total_tokens is None
    none = changed(STEPS, tmp_path, {"step_results.1.agent_result": None})
    assert (count := read_harbor(none).self_reported) is not None
    assert count.completion_tokens is None


def test_a_trial_without_an_agent_has_no_count(tmp_path: Path) -> None:
    """Where the agent never ran there is no count and no time."""
    cell = read_harbor(changed(TRIAL, tmp_path, {"agent_result": None, "agent_execution": None}))
    assert (cell.self_reported, cell.wall_clock_ms, cell.agent_ms) == (None, None, None)


@pytest.mark.parametrize(
    ("rewards", "passed", "reason"),
    [
        (None, None, "no reward"),
        ({}, None, "no reward"),
        ({"reward": None}, None, "reward none"),
        ({"score": 1}, 1, "score 1"),
        ({"reward": 0, "style": 1}, 0, "reward 0"),
        ({"a": 1, "b": 1}, None, "several rewards and none named reward: a, b"),
        ({"reward": 2.5}, None, "reward 2.5"),
        ({"reward": -1}, None, "reward -1"),
    ],
)
def test_what_reward_is_a_verdict(
    tmp_path: Path, rewards: Any, passed: int | None, reason: str
) -> None:
    """The reward of that name, or the only one, is the verdict if it lies between 0 and 1."""
    path = changed(TRIAL, tmp_path, {"verifier_result": {"rewards": rewards}})
    cell = read_harbor(path)
    assert (cell.passed, cell.reason) == (passed, reason)
    assert read_harbor(changed(TRIAL, tmp_path, {"verifier_result": None})).passed is None


LIMITED = {"exception_type": "ApiRateLimitError", "exception_message": "the key sk-REDACTED"}
CRASHED = {"exception_type": "NonZeroAgentExitCodeError", "exception_message": "exit 1"}
VALID = {"should_retry": False, "should_grade": True, "has_valid_reward": True}


def of_version(folder: Path, version: str | None, changes: dict[str, Any]) -> ImportedCell:
    """Return a trial in a job whose lock names Harbor's version."""
    (folder / "trial").mkdir()
    if version is not None:
        written(folder / "lock.json", {"schema_version": 3, "harbor": {"version": version}})
    return read_harbor(changed(TRIAL, folder / "trial", changes))


@pytest.mark.parametrize(
    ("version", "exception", "passed"),
    [
        ("0.24.0", LIMITED, 1),
        ("0.8.0", CRASHED, 1),
        (None, LIMITED, 1),
        ("0.25.0", LIMITED, None),
        ("0.25.1.dev202610260541", CRASHED, None),
        ("0.25.0", {"exception_type": "AgentTimeoutError"}, 1),
    ],
)
def test_which_rewards_count_hangs_on_harbors_version(
    tmp_path: Path, version: str | None, exception: dict[str, Any], passed: int | None
) -> None:
    """Only 0.25 leaves rewards out and does not say so in the file: there the job's lock decides."""
    cell = of_version(tmp_path, version, {"exception_info": exception})
    assert (cell.passed, cell.origin.version) == (passed, version)
    counted = "" if passed else "; Harbor does not count a reward after"
    assert cell.reason.startswith(f"{exception['exception_type']}; reward 1{counted}")


def test_a_reward_of_0_after_a_crash_of_the_agent_is_a_fail(tmp_path: Path) -> None:
    """An agent that ends with an error and earns nothing has failed, and is not left out."""
    changes = {"exception_info": CRASHED, "verifier_result": {"rewards": {"reward": 0}}}
    assert of_version(tmp_path, "0.24.0", changes).passed == 0


@pytest.mark.parametrize(
    ("changes", "passed"),
    [
        ({"reward_valid": True, "exception_info": LIMITED}, 1),
        ({"reward_valid": False}, None),
        ({"exception_info": {**CRASHED, "policy": VALID}}, 1),
        ({"exception_info": {**CRASHED, "policy": {**VALID, "has_valid_reward": False}}}, None),
    ],
)
def test_what_the_file_says_of_its_reward_counts(
    tmp_path: Path, changes: dict[str, Any], passed: int | None
) -> None:
    """Since 0.26 a trial says itself whether its reward is valid, whatever a lock beside it says."""
    assert of_version(tmp_path, "0.25.0", changes).passed == passed


def test_a_step_that_failed_makes_the_reward_invalid(tmp_path: Path) -> None:
    """Exceptions of steps count as the trial's own do."""
    policy = {**VALID, "has_valid_reward": False}
    path = changed(
        STEPS, tmp_path, {"step_results.0.exception_info": {**LIMITED, "policy": policy}}
    )
    assert read_harbor(path).passed is None


@pytest.mark.parametrize(
    ("end", "note"),
    [
        ("2026-08-01T00:00:00Z", "by its clock this ended before it began"),
        ("2126-08-01T00:00:00Z", "by its clock this ended decades after it began"),
        ("2026-09-01T10:01:30", "one instant has a time zone"),
        ("soon", "'soon' is not an instant"),
    ],
)
def test_an_impossible_clock_is_no_time(tmp_path: Path, end: str, note: str) -> None:
    """The time is lost and not the verdict, and the cell says so."""
    cell = read_harbor(changed(TRIAL, tmp_path, {"agent_execution.finished_at": end}))
    assert (cell.passed, cell.wall_clock_ms, cell.agent_ms) == (1, None, None)
    assert cell.notes[0].startswith(f"agent_execution.finished_at: {note}")


@pytest.mark.parametrize(
    ("changes", "cell_id"),
    [
        ({"trial_uri": None}, "0190a0c4-0000-7000-8000-0000000000aa/mini-swe-agent/vendor/small-1"),
        ({"trial_uri": "http://[bad"}, "0190a0c4-0000-7000-8000-0000000000aa/mini-swe-agent"),
        ({"trial_uri": "file:///srv/my%20jobs/x"}, "my jobs/mini-swe-agent/vendor/small-1"),
        ({"trial_uri": "file:///x", "config": {}}, "imported/mini-swe-agent/vendor/small-1"),
        ({"agent_info.model_info.provider": None}, "nightly/mini-swe-agent/small-1/demo-suite"),
        ({"agent_info.model_info": None}, "nightly/mini-swe-agent/vendor/small-1/demo-suite"),
        ({"agent_info.model_info": None, "config": {}}, "nightly/mini-swe-agent/unknown/demo"),
        ({"source": None}, "nightly/mini-swe-agent/vendor/small-1/harbor/fix-git"),
        ({"source": None, "task_name": "org/t"}, "nightly/mini-swe-agent/vendor/small-1/org/t"),
        ({"source": "org/set"}, "nightly/mini-swe-agent/vendor/small-1/org__set/fix-git"),
    ],
)
def test_what_names_the_cell(tmp_path: Path, changes: dict[str, Any], cell_id: str) -> None:
    """Each part of the id comes from the file, and is `unknown` or `imported` where it has none."""
    assert read_harbor(changed(TRIAL, tmp_path, changes)).cell_id.startswith(cell_id)


def test_older_instants_without_a_zone_are_read(tmp_path: Path) -> None:
    """Early versions wrote local times; a duration between two of them is known all the same."""
    start, end = "2025-11-01T10:00:00.5", "2025-11-01T10:00:02"
    times = {"started_at": start, "agent_execution": {"started_at": start, "finished_at": end}}
    assert read_harbor(changed(TRIAL, tmp_path, times)).agent_ms == 1500.0


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"task_name": 7}, "task_name", "string"),
        ({"agent_info": {}}, "agent_info.name", "required"),
        ({"agent_result.n_input_tokens": -1}, "agent_result.n_input_tokens", "greater"),
        ({"agent_result.n_input_tokens": 1.5}, "agent_result.n_input_tokens", "integer"),
        ({"agent_result.n_output_tokens": 10**13}, "agent_result.n_output_tokens", "less"),
        ({"agent_result.cost_usd": -0.01}, "agent_result.cost_usd", "greater"),
        ({"agent_result.cost_usd": 1e300}, "agent_result.cost_usd", "not an amount"),
        ({"verifier_result.rewards": {"reward": "1"}}, "verifier_result.rewards.reward", "number"),
        ({"verifier_result.rewards": {"reward": True}}, "verifier_result.rewards.reward", "number"),
        ({"agent_info.name": "a\nb"}, None, "cannot be printed"),
    ],
)
def test_a_wrong_field_is_named(
    tmp_path: Path, changes: dict[str, Any], field: str | None, reason: str
) -> None:
    """A field that is missing, of the wrong type or out of range is named with its file."""
    assert_rejected(read_harbor, changed(TRIAL, tmp_path, changes), field, reason)


def test_a_job_is_not_a_cell() -> None:
    """The result of a whole job is refused, with where the cells are."""
    with pytest.raises(BadRecord, match="whole Harbor job"):
        read_harbor(JOB)
