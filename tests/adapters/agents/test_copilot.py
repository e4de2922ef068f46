"""Copilot CLI: its command line, its dialects, and its own token count."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.adapters.agents.copilot import Copilot, read_report
from cab.adapters.errors import BadSelfReport
from cab.scoring.ledger.records import Endpoint
from tests.adapters.agents.recorded import MODEL, URL, run_of


def record(**usage: object) -> dict[str, Any]:
    """Return a record of usage."""
    whole = {"inputTokens": 5, "outputTokens": 1, **usage}
    return {"type": "session.usage_record", "data": {"usage": whole}}


def test_headless() -> None:
    """One prompt, one model, no account and no other host, and nobody is asked."""
    launch = Copilot().launch(run_of("--help"))
    assert launch.argv == (
        *("/agents/agent", "--allow-all-tools", "--no-auto-update", "--disable-builtin-mcps"),
        *("--model", MODEL, "--prompt=--help"),
    )
    assert launch.env["COPILOT_OFFLINE"] == "true"
    assert launch.env["COPILOT_MODEL"] == MODEL


@pytest.mark.parametrize(
    ("dialect", "kind", "wire", "url"),
    [
        (None, "openai", "completions", f"{URL}/v1"),
        ("responses", "openai", "responses", f"{URL}/v1"),
        ("messages", "anthropic", "completions", URL),
    ],
)
def test_dialects(dialect: Endpoint | None, kind: str, wire: str, url: str) -> None:
    """Type and wire of the provider decide what is spoken."""
    env = Copilot().launch(run_of(dialect=dialect)).env
    assert env["COPILOT_PROVIDER_TYPE"] == kind
    assert env["COPILOT_PROVIDER_WIRE_API"] == wire
    assert env["COPILOT_PROVIDER_BASE_URL"] == url


def test_no_record() -> None:
    """A session without records of usage has no count."""
    assert read_report([{"type": "session.start"}]) is None


@pytest.mark.parametrize(
    "event",
    [
        {"type": "session.usage_record"},
        {"type": "session.usage_record", "data": {}},
        record(inputTokens=0),
    ],
)
def test_odd_record(event: dict[str, Any]) -> None:
    """A record that cannot be read, or counts 0 tokens, is an error, not a guess."""
    with pytest.raises(BadSelfReport):
        read_report([record(), event])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**9)), min_size=1, max_size=5))
def test_the_sums_are_those_of_the_records(counts: list[tuple[int, int]]) -> None:
    """Input and output are added up, record by record."""
    report = read_report(record(inputTokens=sent, outputTokens=got) for sent, got in counts)
    assert report is not None
    assert report.prompt_tokens == sum(sent for sent, _ in counts)
    assert report.completion_tokens == sum(got for _, got in counts)
