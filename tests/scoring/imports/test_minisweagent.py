from pathlib import Path
from typing import Any

import pytest

from cab.scoring import BadRecord
from cab.scoring.imports import OwnCount, read_mini_trajectory
from tests.scoring.imports.files import (
    MESSAGES,
    RESPONSES,
    UNVERSIONED,
    VERSION_1,
    VERSION_1_1,
    assert_rejected,
    cells_of,
    changed,
    written,
)


def count_of(path: Path) -> OwnCount:
    """Return what a trajectory says of its tokens."""
    count = read_mini_trajectory(path).self_reported
    assert count is not None
    return count


def test_a_trajectory_is_a_cell_without_a_verdict() -> None:
    """A run that was submitted may be wrong: its end is reported, and that is not a pass."""
    cell = read_mini_trajectory(VERSION_1)
    assert cell.cell_id == "imported/mini-swe-agent/vendor/small-1/swe-bench/demo__lib-7"
    assert (cell.origin.version, cell.origin.name) == ("mini-swe-agent-1", "demo__lib-7")
    assert (cell.passed, cell.stopped) == (None, False)
    assert cell.reason == "exit status Submitted; a trajectory holds no verdict"


def test_the_usage_of_all_messages_is_summed() -> None:
    """Version 1: two answers, 1000 + 1200 and 40 + 60 tokens, 600 + 1000 from a cache."""
    count = count_of(VERSION_1)
    assert (count.prompt_tokens, count.completion_tokens, count.total_tokens) == (2200, 100, 2300)
    assert (count.cache_read_tokens, count.reasoning_tokens) == (1600, 10)
    assert (count.model_calls, count.counted_calls, count.cost_usd) == (2, 2, "0.0375")


def test_an_answer_that_could_not_be_parsed_was_paid_for() -> None:
    """Version 1.1 keeps such an answer with the error's message: 1000 + 1100 + 1200 tokens."""
    count = count_of(VERSION_1_1)
    assert (count.prompt_tokens, count.completion_tokens) == (3300, 105)
    assert (count.model_calls, count.counted_calls) == (3, 3)
    assert (count.cache_read_tokens, count.reasoning_tokens) == (None, None)


def test_an_answer_of_the_responses_endpoint_is_the_message_itself() -> None:
    """Its usage has other names, and includes what came from a cache and reasoning as well."""
    count = count_of(RESPONSES)
    assert (count.prompt_tokens, count.completion_tokens, count.total_tokens) == (700, 30, 730)
    assert (count.cache_read_tokens, count.reasoning_tokens) == (512, 20)
    assert count.cost_usd == "0.0"


def test_an_early_trajectory_has_calls_and_no_tokens() -> None:
    """Before answers were kept there is nothing to sum: None and not 0, beside 2 calls."""
    cell = read_mini_trajectory(UNVERSIONED)
    assert cell.cell_id == "imported/mini-swe-agent/unknown/mini-swe-agent/unversioned"
    assert cell.origin.version is None
    count = count_of(UNVERSIONED)
    assert (count.prompt_tokens, count.total_tokens) == (None, None)
    assert (count.model_calls, count.counted_calls, count.cost_usd) == (2, 0, "0.02")


def test_a_call_that_left_no_message_leaves_no_sum(tmp_path: Path) -> None:
    """Three calls and two answers: the sum of the two is not the whole."""
    count = count_of(changed(VERSION_1, tmp_path, {"info.model_stats.api_calls": 3}))
    assert (count.prompt_tokens, count.completion_tokens) == (None, None)
    assert (count.model_calls, count.counted_calls) == (3, 2)


def test_an_answer_without_usage_leaves_no_sum(tmp_path: Path) -> None:
    """One answer whose usage is missing makes the sum unknown, however many calls are claimed."""
    for stats in ({"api_calls": 2}, {}, None):
        path = changed(
            VERSION_1,
            tmp_path,
            {"messages.2.extra.response": "repr", "info.model_stats": stats},
        )
        count = count_of(path)
        assert (count.prompt_tokens, count.counted_calls) == (None, 1)


def test_what_a_person_wrote_in_the_models_place_is_not_a_call(tmp_path: Path) -> None:
    """A message without an answer does not count where the file says how many calls there were and all are counted."""
    message = {"role": "assistant", "content": "ls", "timestamp": 1764000006.0}
    count = count_of(changed(VERSION_1, tmp_path, {"messages.3": message}))
    assert (count.prompt_tokens, count.model_calls) == (2200, 2)


def test_no_call_at_all_took_no_tokens(tmp_path: Path) -> None:
    """Where the agent says that it made no call, 0 is measured; where it says nothing, it is not."""
    none = {"messages": [], "info.model_stats.api_calls": 0}
    assert count_of(changed(VERSION_1, tmp_path, none)).total_tokens == 0
    unsaid: dict[str, Any] = {"messages": [], "info.model_stats.api_calls": None}
    assert count_of(changed(VERSION_1, tmp_path, unsaid)).total_tokens is None
    nothing = changed(VERSION_1, tmp_path, {"messages": [], "info.model_stats": None})
    assert read_mini_trajectory(nothing).self_reported is None


def test_calls_are_summed_where_their_number_is_not_told(tmp_path: Path) -> None:
    """Without a number of calls the messages are all there is."""
    count = count_of(changed(VERSION_1, tmp_path, {"info.model_stats": None}))
    assert (count.prompt_tokens, count.model_calls, count.cost_usd) == (2200, None, None)


def test_anthropics_own_words_have_the_cache_beside_the_input(tmp_path: Path) -> None:
    """10 + 200 read from + 30 written to a cache are a prompt of 240."""
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 200,
        "cache_creation_input_tokens": 30,
        "output_tokens": 5,
    }
    path = changed(RESPONSES, tmp_path, {"messages.2.usage": usage})
    count = count_of(path)
    assert (count.prompt_tokens, count.completion_tokens, count.cache_read_tokens) == (240, 5, 200)


def test_the_clock_needs_both_ends(tmp_path: Path) -> None:
    """Version 1 dates every message; 1.1 does not date the first, so that the time is unknown."""
    assert read_mini_trajectory(VERSION_1).wall_clock_ms == 10_250.0
    assert read_mini_trajectory(VERSION_1_1).wall_clock_ms is None
    dated = {
        "messages.0.extra": {"timestamp": 1784000000.0},
        "messages.6.extra.timestamp": 1784000010.0,
    }
    assert read_mini_trajectory(changed(VERSION_1_1, tmp_path, dated)).wall_clock_ms == 10_000.0
    assert (
        read_mini_trajectory(changed(VERSION_1, tmp_path, {"messages": []})).wall_clock_ms is None
    )


def test_a_run_that_was_stopped_is_told() -> None:
    """An agent that ran out of time was stopped."""
    assert read_mini_trajectory(RESPONSES).stopped is True


def test_a_later_minor_version_is_read(tmp_path: Path) -> None:
    """Versions 1.x are read by their shape; a file name gives the name where no instance is named."""
    path = changed(
        VERSION_1_1, tmp_path, {"trajectory_format": "mini-swe-agent-1.2", "instance_id": None}
    )
    assert read_mini_trajectory(path).cell_id.endswith("/swe-bench/demo__lib-8")


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"trajectory_format": "mini-swe-agent-2"}, "trajectory_format", "not known"),
        ({"trajectory_format": 1}, "trajectory_format", "string"),
        ({"info": None}, "info", "dictionary"),
        ({"messages": {}}, "messages", "list"),
        ({"messages.1": "text"}, "messages.1", "dictionary"),
        ({"info.model_stats.api_calls": -1}, "info.model_stats.api_calls", "greater"),
        ({"info.model_stats.instance_cost": -0.5}, "info.model_stats.instance_cost", "greater"),
        (
            {"info.model_stats.instance_cost": 1e99},
            "info.model_stats.instance_cost",
            "not an amount",
        ),
        (
            {"messages.2.extra.response.usage.prompt_tokens": -1},
            "messages.2.extra.response.usage.prompt_tokens",
            "greater",
        ),
        ({"messages.2.extra.response.usage": 7}, "messages.2.extra.response.usage", "dictionary"),
        ({"messages.0.timestamp": "noon"}, "messages.0.timestamp", "number"),
    ],
)
def test_a_wrong_field_is_named(
    tmp_path: Path, changes: dict[str, Any], field: str, reason: str
) -> None:
    """A field that is missing, of the wrong type or out of range is named down to its message."""
    assert_rejected(read_mini_trajectory, changed(VERSION_1, tmp_path, changes), field, reason)


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"messages.0.timestamp": 1764000020}, "by its clock this ended before it began"),
        ({"messages.0.timestamp": 0}, "by its clock this ended decades after it began"),
        ({"messages.0.timestamp": -5}, "is not an instant"),
    ],
)
def test_an_impossible_clock_is_no_time(tmp_path: Path, changes: dict[str, Any], note: str) -> None:
    """The time is lost and not the counts, and the cell says so."""
    cell = read_mini_trajectory(changed(VERSION_1, tmp_path, changes))
    assert (cell.wall_clock_ms, cell.agent_ms) == (None, None)
    assert cell.self_reported is not None
    assert cell.self_reported.prompt_tokens == 2200
    assert cell.notes[0].startswith(f"messages.5.timestamp: {note}")


def test_a_bare_list_of_messages_is_a_run(tmp_path: Path) -> None:
    """The first versions wrote nothing else: the run has a name, and neither count nor time."""
    [cell] = cells_of(MESSAGES)
    assert cell.cell_id == "imported/mini-swe-agent/unknown/mini-swe-agent/messages"
    assert (cell.passed, cell.self_reported, cell.origin.version) == (None, None, None)
    assert cell.origin.verdicts is False
    for other in ([], [{"role": "user"}], [{"role": "user", "content": "x"}], ["text"]):
        with pytest.raises(BadRecord, match="not one of an agent's messages"):
            read_mini_trajectory(written(tmp_path / "x.traj.json", other))
