from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from cab.scoring.exports.atif import trajectory
from tests.scoring.builders import end_fields, start_fields, unmeasured
from tests.scoring.exports.atif_schema import TRAJECTORY
from tests.scoring.exports.cells import cell_id, source

SECOND: dict[str, Any] = {
    "call_id": "b",
    "seq": 2,
    "started_at": "2026-11-20T12:00:01.000000Z",
    "ended_at": "2026-11-20T12:00:02.000000Z",
}


def checked(made: dict[str, Any]) -> dict[str, Any]:
    """Return a trajectory as a reader gets it, once the specification's rules hold for it."""
    read: dict[str, Any] = orjson.loads(orjson.dumps(made))
    Draft202012Validator.check_schema(TRAJECTORY)
    Draft202012Validator(TRAJECTORY).validate(read)
    assert [step["step_id"] for step in read["steps"]] == list(range(1, len(read["steps"]) + 1))
    return read


def test_a_call_is_a_step_with_metrics(tmp_path: Path) -> None:
    """The task is the first step; each attempt follows with tokens, cached ones within the prompt."""
    calls = [
        end_fields(
            "a",
            model_requested="demo",
            model_served="demo-1",
            cache_read_tokens=60,
            cache_write_tokens=10,
            reasoning_tokens=5,
            cost_usd="0.25",
            finish_reason="tool_calls",
            tool_calls=2,
            ttft_ms=40.0,
        ),
        end_fields(**{**SECOND, "cost_usd": "0.5", "cache_read_tokens": 0, "reasoning_tokens": 0}),
    ]
    made = checked(
        trajectory(source(tmp_path / "b", cell_id(run=2), agent_version="1.2", calls=calls))
    )
    assert made["session_id"] == made["trajectory_id"] == cell_id(run=2)
    assert made["agent"] == {"name": "scripted", "version": "1.2", "model_name": "lab/demo"}
    task, first, second = made["steps"]
    assert (task["source"], task["message"]) == ("user", "fix it")
    assert (first["source"], first["model_name"], first["message"]) == ("agent", "demo-1", "")
    assert first["metrics"] == {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "cached_tokens": 60,
        "cost_usd": 0.25,
        "extra": {
            "cache_write_tokens": 10,
            "reasoning_tokens": 5,
            "usage_source": "upstream",
            "usage_status": "complete",
        },
    }
    assert first["extra"].items() >= {"call_id": "a", "tool_calls": 2, "latency_ms": 500.0}.items()
    assert second["timestamp"] == SECOND["started_at"]
    assert made["final_metrics"] == {
        "total_prompt_tokens": 200,
        "total_completion_tokens": 40,
        "total_cached_tokens": 60,
        "total_cost_usd": 0.75,
        "total_steps": 3,
        "extra": {
            "total_reasoning_tokens": 5,
            "model_calls": 2,
            "unmeasured_calls": 0,
            "tokens_source": "upstream",
            "price_sources": ["unnamed"],
        },
    }
    assert made["extra"]["cab"]["passed"] == 1
    assert made["extra"]["cab"]["composites"].keys() == {"published/1", "measured/1"}


def test_what_is_absent_is_said(tmp_path: Path) -> None:
    """There are no answers, tool calls and observations, and the notes say why."""
    made = checked(trajectory(source(tmp_path / "b")))
    assert "stores no prompts and answers" in made["notes"]
    for step in made["steps"][1:]:
        assert step["message"] == ""
        assert not {"tool_calls", "observation", "reasoning_content"} & step.keys()


def test_unknown_numbers_are_missing(tmp_path: Path) -> None:
    """A call that nobody counted has no tokens, and then the trajectory has no totals of them."""
    calls = [
        unmeasured("a"),
        start_fields("open", seq=2, started_at=SECOND["started_at"]),
        end_fields(**{**SECOND, "error": {"type": "overloaded", "message": "x"}, "status": 529}),
    ]
    made = checked(trajectory(source(tmp_path / "b", calls=calls)))
    first, *others = made["steps"][1:]
    assert first["metrics"] == {"extra": {"usage_source": "none"}}
    unfinished = next(step for step in others if step["extra"]["call_id"] == "open")
    assert unfinished["extra"] == {"call_id": "open", "end_reason": "unfinished"}
    assert (unfinished["model_name"], unfinished.get("metrics")) == ("demo", None)
    failed = next(step for step in others if step["extra"]["call_id"] == "b")
    assert (failed["extra"]["status"], failed["extra"]["error_type"]) == (529, "overloaded")
    assert made["final_metrics"].keys() == {"total_steps", "extra"}
    assert made["final_metrics"]["extra"]["unmeasured_calls"] == 2


def test_a_cell_that_was_not_metered_has_the_task_alone(tmp_path: Path) -> None:
    """Without a slice there is one step, and no number."""
    made = checked(trajectory(source(tmp_path / "b", calls=None)))
    assert len(made["steps"]) == 1
    assert made["agent"]["version"] == "unknown"
    assert made["final_metrics"] == {"total_steps": 1, "extra": {"tokens_source": "none"}}


@pytest.mark.parametrize(
    "spoiled",
    [
        {"schema_version": "ATIF-v1.6"},
        {"surprise": 1},
        {"steps": [{"step_id": 1, "source": "user", "message": "x", "metrics": {}}]},
        {
            "steps": [
                {
                    "step_id": 1,
                    "source": "agent",
                    "message": "",
                    "llm_call_count": 0,
                    "metrics": {},
                }
            ]
        },
        {"steps": [{"step_id": 1, "source": "agent", "message": None}]},
        {"agent": {"name": "x"}},
    ],
)
def test_the_rules_can_fail(tmp_path: Path, spoiled: dict[str, Any]) -> None:
    """What the specification forbids is refused, so that the tests above say something."""
    made = trajectory(source(tmp_path / "b"))
    validator = Draft202012Validator(TRAJECTORY)
    assert validator.is_valid(orjson.loads(orjson.dumps(made)))
    assert not validator.is_valid({**made, **spoiled})
