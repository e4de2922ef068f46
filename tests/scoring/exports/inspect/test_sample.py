from pathlib import Path

from cab.scoring.exports.inspect.sample import digest, sample, summary
from tests.scoring.builders import end_fields, start_fields, unmeasured
from tests.scoring.exports.cells import cell_id, source


def test_ids_follow_from_what_they_name() -> None:
    """The same parts give the same id, and parts are not run together."""
    assert digest("a", "b") == digest("a", "b") != digest("ab")
    assert len(digest("a")) == 22


def test_a_run_without_a_number_is_the_first_epoch(tmp_path: Path) -> None:
    """A cell of one run is epoch 1, the second run is epoch 2."""
    assert sample(source(tmp_path / "a"))["epoch"] == 1
    made = sample(source(tmp_path / "b", cell_id(run=2), agent_version="1.2"))
    assert (made["id"], made["epoch"]) == ("polyglot/twin", 2)
    assert made["metadata"]["cab"]["agent_version"] == "1.2"


def test_calls_that_failed_or_did_not_end_say_so(tmp_path: Path) -> None:
    """An event has the endpoint's error, else our class of it; one without END is unfinished."""
    refused = {"error": {"type": "overloaded", "message": "later"}, "status": 529}
    calls = [
        unmeasured("a", **refused),
        unmeasured("b", status=500, end_reason="upstream_error", latency_ms=None),
        start_fields("c", model_requested=None, started_at="2026-11-20T12:00:01.500000Z"),
        end_fields("d", model_served="m-1"),
    ]
    events = {
        event["uuid"]: event for event in sample(source(tmp_path / "a", calls=calls))["events"]
    }
    assert [events[name].get("error") for name in "abcd"] == [
        "overloaded: later",
        "endpoint",
        "unfinished",
        None,
    ]
    assert "usage" not in events["a"]["output"]
    assert "working_time" not in events["b"]
    assert (events["c"]["working_start"], events["c"]["model"]) == (1.5, "unknown")
    assert events["d"]["model"] == "m-1"


def test_dollars_name_their_prices(tmp_path: Path) -> None:
    """Inspect's usage has dollars without a source: the cell and each call say it in their metadata."""
    stated = {"cost_usd": "0.2", "price_source": "upstream"}
    calls = [end_fields("a", **stated), end_fields("b", cost_usd="0.1"), end_fields("c")]
    made = sample(source(tmp_path / "a", calls=calls))
    said = [event["metadata"]["cab"].get("price_source") for event in made["events"]]
    assert said == ["upstream", None, None]
    assert made["metadata"]["cab"]["price_sources"] == ["unnamed", "upstream"]


def test_the_agents_own_count_is_kept_apart(tmp_path: Path) -> None:
    """What the agent says of its tokens is in the metadata, never in the usage."""
    report = {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "source": "tui_stdout",
        "exact": True,
    }
    made = sample(source(tmp_path / "a", calls=None, self_reported=report))
    assert made["metadata"]["cab"]["self_reported"]["total_tokens"] == 10
    assert "agent_version" not in made["metadata"]["cab"]
    assert made["model_usage"] == {}


def test_a_summary_is_short(tmp_path: Path) -> None:
    """A summary cuts long texts as Inspect does, and leaves out what scores were made from."""
    made = {**sample(source(tmp_path / "a")), "input": "x" * 10_000}
    short = summary(made)
    assert len(short["input"]) == 5120
    assert short["scores"]["pass_rate"] == {"value": 1}
