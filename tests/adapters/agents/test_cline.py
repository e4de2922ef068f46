"""Cline: its command line and settings, and its own token count."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.adapters.agents.cline import Cline
from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport
from tests.adapters.agents.recorded import KEY, MODEL, URL, printed, run_of


def read_report(text: str) -> SelfReport | None:
    """Return the report of an output."""
    return Cline().self_report(printed(text))


def result(**usage: object) -> str:
    """Return the last event of a run."""
    whole = {"inputTokens": 5, "outputTokens": 1, **usage}
    return orjson.dumps({"type": "run_result", "aggregateUsage": whole}).decode()


def test_headless() -> None:
    """One prompt that cannot be taken for an option, one model, and nobody is asked."""
    assert Cline().launch(run_of("--help")).argv == (
        *("/agents/agent", "--provider", "openai-compatible", "--model", MODEL),
        *("--auto-approve", "true", "--json", "--", "--help"),
    )


def test_provider() -> None:
    """Its settings name the endpoint and hold the key."""
    launch = Cline().launch(run_of())
    settings_of = orjson.loads(launch.files[".cline/data/settings/providers.json"])
    provider = settings_of["providers"]["openai-compatible"]
    assert provider["settings"]["apiKey"] == KEY
    assert provider["settings"]["baseUrl"] == f"{URL}/v1"


def test_no_other_hosts() -> None:
    """Telemetry and updates are off."""
    launch = Cline().launch(run_of())
    said = orjson.loads(launch.files[".cline/data/settings/global-settings.json"])
    assert said == {"telemetryOptOut": True, "autoUpdateEnabled": False}
    assert launch.env["CLINE_NO_AUTO_UPDATE"] == "1"


def test_no_result() -> None:
    """A run that was stopped before its end has no count."""
    assert read_report('{"type": "agent_event"}\n') is None


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "run_result"}',
        result(inputTokens=0),
    ],
)
def test_odd_result(text: str) -> None:
    """A result that cannot be read, or counts 0 tokens, is an error, not a guess."""
    with pytest.raises(BadSelfReport):
        read_report(text)


@settings(deadline=None)
@given(st.integers(1, 10**9), st.integers(0, 10**9), st.text("ab\n ", max_size=20))
def test_the_last_result_counts(sent: int, got: int, noise: str) -> None:
    """Whatever comes before it, the last result is that of the whole run."""
    report = read_report(f"{result()}\n{noise}\n{result(inputTokens=sent, outputTokens=got)}\n")
    assert report is not None
    assert (report.prompt_tokens, report.completion_tokens) == (sent, got)
