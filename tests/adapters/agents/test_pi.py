"""pi: its command line and models, and its own token count."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.adapters.agents.pi import Pi, read_report
from cab.adapters.errors import BadSelfReport
from cab.scoring.ledger.records import Endpoint
from tests.adapters.agents.recorded import MODEL, recorded, report_of, run_of


def answer(**usage: object) -> dict[str, Any]:
    """Return an entry of a session that is an answer of the model."""
    whole = {"input": 5, "cacheRead": 0, "cacheWrite": 0, "output": 1, **usage}
    message = {"role": "assistant", "usage": whole, "stopReason": "stop"}
    return {"type": "message", "message": message}


def test_headless() -> None:
    """One prompt, one model of one provider, and nothing that pi would ask other hosts at start-up."""
    launch = Pi().launch(run_of())

    assert launch.argv == (
        *("/agents/agent", "--provider", "cab", "--model", MODEL),
        *("--print", "Fix it"),
    )
    assert launch.env["PI_OFFLINE"] == "1"


@pytest.mark.parametrize(
    ("dialect", "api", "url"),
    [
        (None, "openai-completions", "http://127.0.0.1:1/v1"),
        ("chat.completions", "openai-completions", "http://127.0.0.1:1/v1"),
        ("responses", "openai-responses", "http://127.0.0.1:1/v1"),
        ("messages", "anthropic-messages", "http://127.0.0.1:1"),
    ],
)
def test_dialects(dialect: Endpoint | None, api: str, url: str) -> None:
    """The list of models names the run's alone, with the library of its dialect."""
    launch = Pi().launch(run_of(dialect=dialect))

    provider = orjson.loads(launch.files[".pi/agent/models.json"])["providers"]["cab"]
    assert provider["api"] == api
    assert provider["baseUrl"] == url
    assert [model["id"] for model in provider["models"]] == [MODEL]


def test_key_by_environment() -> None:
    """The list of models names the variable that holds the key, not the key."""
    launch = Pi().launch(run_of())

    provider = orjson.loads(launch.files[".pi/agent/models.json"])["providers"]["cab"]
    assert launch.env[provider["apiKey"]] == "the-cell-key"


def test_prompt_is_not_a_file() -> None:
    """A prompt that looks like a file reference gets a space before it."""
    assert Pi().launch(run_of("@file")).argv[-1] == " @file"


def test_recorded_sessions(tmp_path: Path) -> None:
    """Where a run has several sessions, they are all its own."""
    report = report_of("pi", tmp_path, *[recorded("pi", "run")] * 2)

    assert report is not None
    assert report.total_tokens == 2 * 5639


def test_summary_of_the_conversation() -> None:
    """What a summary cost is not in the session, so the rest is not called exact."""
    report = read_report([answer(), {"type": "compaction"}, answer()])

    assert report is not None
    assert (report.total_tokens, report.exact) == (12, False)


def test_answer_without_usage() -> None:
    """An answer that says nothing of tokens is an error."""
    with pytest.raises(BadSelfReport, match="no object usage"):
        read_report([{"type": "message", "message": {"role": "assistant"}}])


COUNTS = st.integers(0, 10**9)


@given(st.lists(st.tuples(st.integers(1, 10**9), COUNTS, COUNTS, COUNTS), min_size=1))
def test_sum(calls: list[tuple[int, int, int, int]]) -> None:
    """Whatever pi counts, the prompt has all that was sent, the completion all that came."""
    names = ("input", "cacheRead", "cacheWrite", "output")
    report = read_report(answer(**dict(zip(names, call, strict=True))) for call in calls)

    assert report is not None
    assert report.prompt_tokens == sum(sum(call[:3]) for call in calls)
    assert report.completion_tokens == sum(call[3] for call in calls)
