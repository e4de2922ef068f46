"""Droid: its command line and settings, and its own token count."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.adapters.agents.droid import Droid
from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport
from tests.adapters.agents.recorded import KEY, MODEL, URL, printed, run_of


def read_report(text: str) -> SelfReport | None:
    """Return the report of an output."""
    return Droid().self_report(printed(text))


def result(**usage: object) -> str:
    """Return what it prints at its end."""
    parts = {"cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    whole = {"input_tokens": 5, "output_tokens": 1, **parts, **usage}
    return orjson.dumps({"type": "result", "usage": whole}).decode()


def test_headless() -> None:
    """One prompt that cannot be taken for an option, a model of one's own, and nobody is asked."""
    assert Droid().launch(run_of("--help")).argv == (
        *("/agents/agent", "exec", "--model", "custom:cab-0", "--skip-permissions-unsafe"),
        *("--output-format", "json", "--", "--help"),
    )


def test_model() -> None:
    """Its settings have one custom model, with the endpoint and the key."""
    launch = Droid().launch(run_of())
    [model] = orjson.loads(launch.files[".factory/settings.json"])["customModels"]
    assert (model["model"], model["baseUrl"], model["apiKey"]) == (MODEL, f"{URL}/v1", KEY)


def test_no_other_hosts() -> None:
    """Its maker's servers are not asked, and the account key is not a real one."""
    env = Droid().launch(run_of()).env
    assert env["FACTORY_AIRGAP_ENABLED"] == "1"
    assert env["FACTORY_API_KEY"] == "none"


def test_no_result() -> None:
    """A run that was stopped before its end has no count."""
    assert read_report("Error: stopped\n") is None


@pytest.mark.parametrize(
    "text",
    [
        '{"usage": 1}',
        result(input_tokens=0),
    ],
)
def test_odd_result(text: str) -> None:
    """A result that cannot be read, or counts 0 tokens, is an error, not a guess."""
    with pytest.raises(BadSelfReport):
        read_report(text)


@settings(deadline=None)
@given(st.integers(1, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_cached_tokens_are_added(fresh: int, read: int, written: int, got: int) -> None:
    """Its input leaves out what came from a cache or went into one; the prompt is all three."""
    report = read_report(
        result(
            input_tokens=fresh,
            cache_read_input_tokens=read,
            cache_creation_input_tokens=written,
            output_tokens=got,
        )
    )
    assert report is not None
    assert (report.prompt_tokens, report.completion_tokens) == (fresh + read + written, got)
