"""pi: its command line and models, and its own token count."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.adapters.agents.base import Output
from cab.adapters.agents.pi import Pi, read_report
from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport
from cab.scoring.ledger.records import Endpoint
from tests.adapters.agents.recorded import MODEL, only_in_environment, recorded, run_of

SESSION = ".pi/agent/sessions/--workspace--/2026.jsonl"


def report_of(home: Path, *sessions: str) -> SelfReport | None:
    """Return the report of a HOME that holds these sessions."""
    for number, session in enumerate(sessions):
        path = (home / SESSION).with_stem(str(number))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(session)
    return Pi().self_report(Output("", "", home))


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
        *("--print", "Mend it"),
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
    assert only_in_environment(launch)
    assert launch.env[provider["apiKey"]] == "the-cell-key"


@pytest.mark.parametrize("prompt", ["-p", "--help", "@file"])
def test_prompt_is_no_option(prompt: str) -> None:
    """A prompt that looks like an option or a file is kept apart from them by a space."""
    assert Pi().launch(run_of(prompt)).argv[-1] == f" {prompt}"


def test_recorded_run(tmp_path: Path) -> None:
    """Cached tokens are added to the prompt; the figures are those that the meter had of that run."""
    report = report_of(tmp_path, recorded("pi", "run.jsonl"))

    assert report is not None
    assert (report.prompt_tokens, report.completion_tokens) == (5101, 538)
    assert report.total_tokens == 5639
    assert (report.source, report.exact) == ("tui_session", True)


def test_recorded_sessions(tmp_path: Path) -> None:
    """Where a run has several sessions, they are all its own."""
    report = report_of(tmp_path, *[recorded("pi", "run.jsonl")] * 2)

    assert report is not None
    assert report.total_tokens == 2 * 5639


def test_recorded_cut(tmp_path: Path) -> None:
    """An answer that broke off has no count; what is left is told, and not called exact."""
    report = report_of(tmp_path, recorded("pi", "cut.jsonl"))

    assert report is not None
    assert (report.prompt_tokens, report.completion_tokens) == (5101, 538)
    assert report.exact is False


def test_recorded_without_usage(tmp_path: Path) -> None:
    """pi writes 0 where the endpoint gave no count: that is an error, not 0 tokens."""
    with pytest.raises(BadSelfReport, match="0 tokens"):
        report_of(tmp_path, recorded("pi", "no-usage.jsonl"))


def test_recorded_refusal(tmp_path: Path) -> None:
    """A run whose only call was refused has no count."""
    assert report_of(tmp_path, recorded("pi", "refused.jsonl")) is None


def test_no_session(tmp_path: Path) -> None:
    """A HOME without sessions has no count."""
    assert report_of(tmp_path) is None


def test_unreadable_session(tmp_path: Path) -> None:
    """A session that cannot be read is an error."""
    (tmp_path / SESSION).mkdir(parents=True)

    with pytest.raises(BadSelfReport, match="cannot be read"):
        report_of(tmp_path)


def test_cut_session(tmp_path: Path) -> None:
    """A session whose last line is torn is an error."""
    with pytest.raises(BadSelfReport, match="broken JSON"):
        report_of(tmp_path, recorded("pi", "run.jsonl")[:-9])


def test_summary_of_the_conversation() -> None:
    """What a summary cost is not in the session, so the rest is not called exact."""
    report = read_report([answer(), {"type": "compaction"}, answer()])

    assert report is not None
    assert (report.total_tokens, report.exact) == (12, False)


@pytest.mark.parametrize(
    "usage",
    [{"input": None}, {"input": "5"}, {"output": -1}, {"cacheRead": 1.0}, {"cacheWrite": True}],
)
def test_strict(usage: dict[str, object]) -> None:
    """A count that is none is an error."""
    with pytest.raises(BadSelfReport, match="no count"):
        read_report([answer(**usage)])


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
