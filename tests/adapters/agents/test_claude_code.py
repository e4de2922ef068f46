"""Claude Code: its command line and environment, and its own token count."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.adapters.agents.claude_code import ClaudeCode
from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport
from tests.adapters.agents.recorded import KEY, MODEL, URL, printed, run_of


def read_report(text: str) -> SelfReport | None:
    """Return the report of an output."""
    return ClaudeCode().self_report(printed(text))


def usage_of(**usage: object) -> dict[str, object]:
    """Return what a result says of one model."""
    names = ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens", "outputTokens")
    return {**dict.fromkeys(names, 1), **usage}


def line(**event: object) -> str:
    """Return an event as it is printed."""
    return f"{orjson.dumps(event).decode()}\n"


def result(*, is_error: object = False, **models: object) -> str:
    """Return the last event of a run."""
    return line(type="result", is_error=is_error, modelUsage=models)


def test_headless() -> None:
    """One prompt that cannot be taken for an option, events as JSON, and nobody is asked."""
    launch = ClaudeCode().launch(run_of("--help"))

    assert launch.argv == (
        *("/agents/agent", "--print", "--output-format", "stream-json", "--verbose"),
        *("--dangerously-skip-permissions", "--model", MODEL, "--", "--help"),
    )
    assert launch.env["IS_SANDBOX"] == "1"
    assert launch.env["ANTHROPIC_API_KEY"] == KEY
    assert launch.env["ANTHROPIC_BASE_URL"] == URL


def test_one_model() -> None:
    """Whatever size of model it asks for, it gets the run's."""
    env = ClaudeCode().launch(run_of()).env

    sizes = {name for name in env if "MODEL" in name}
    assert sizes == {name for name, value in env.items() if value == MODEL}
    assert {"ANTHROPIC_MODEL", "ANTHROPIC_SMALL_FAST_MODEL"} < sizes
    assert {"ANTHROPIC_DEFAULT_HAIKU_MODEL", "CLAUDE_CODE_SUBAGENT_MODEL"} < sizes


@pytest.mark.parametrize(
    "switch",
    [
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
        "DISABLE_AUTOUPDATER",
        "DISABLE_ERROR_REPORTING",
        "DISABLE_TELEMETRY",
    ],
)
def test_no_other_hosts(switch: str) -> None:
    """Updates, reports and telemetry are off."""
    assert ClaudeCode().launch(run_of()).env[switch] == "1"


def test_models_are_added() -> None:
    """Every model that was called counts."""
    report = read_report(result(large=usage_of(), small=usage_of()))

    assert report is not None
    assert (report.prompt_tokens, report.completion_tokens) == (6, 2)


def test_last_result() -> None:
    """A result sums up the ones before it, so the last one is the whole."""
    report = read_report(result(m=usage_of(inputTokens=7)) + result(m=usage_of(inputTokens=20)))

    assert report is not None
    assert report.prompt_tokens == 22


@pytest.mark.parametrize(
    "text",
    [
        line(type="system", subtype="api_retry") + result(m=usage_of()),
        line(type="user", isSynthetic=True) + result(m=usage_of()),
        result(is_error=True, m=usage_of()),
        result(is_error=None, m=usage_of()),
    ],
)
def test_failures(text: str) -> None:
    """What a run says in which something failed is not called exact."""
    report = read_report(text)

    assert report is not None
    assert report.exact is False


@pytest.mark.parametrize("event", [line(type="result"), result(m=None)])
def test_result_without_counts(event: str) -> None:
    """A result that says nothing of tokens is an error."""
    with pytest.raises(BadSelfReport, match="no object"):
        read_report(event)


COUNTS = st.integers(0, 10**9)


@given(st.lists(st.tuples(st.integers(1, 10**9), COUNTS, COUNTS, COUNTS), min_size=1))
def test_sum(models: list[tuple[int, int, int, int]]) -> None:
    """Whatever it counts, the prompt has all that was sent, the completion all that came."""
    names = ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens", "outputTokens")
    usages = {str(at): dict(zip(names, each, strict=True)) for at, each in enumerate(models)}
    report = read_report(line(type="result", is_error=False, modelUsage=usages))

    assert report is not None
    assert report.prompt_tokens == sum(sum(each[:3]) for each in models)
    assert report.completion_tokens == sum(each[3] for each in models)
