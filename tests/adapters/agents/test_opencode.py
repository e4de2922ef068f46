"""opencode: its command line and configuration, and its own token count."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.adapters.agents.opencode import Opencode, read_report
from cab.adapters.errors import BadSelfReport
from cab.scoring.ledger.records import Endpoint
from tests.adapters.agents.recorded import (
    MODEL,
    URL,
    run_of,
)


def config_of(dialect: Endpoint | None = None) -> dict[str, Any]:
    """Return the configuration of a launch."""
    files = Opencode().launch(run_of(dialect=dialect)).files
    config: dict[str, Any] = orjson.loads(files[".config/opencode/opencode.json"])
    return config


def step(**tokens: object) -> str:
    """Return the event of a step that ended."""
    whole = {"input": 5, "output": 1, "reasoning": 0, "cache": {"read": 0, "write": 0}, **tokens}
    event = {"type": "step_finish", "part": {"tokens": whole}}
    return f"{orjson.dumps(event).decode()}\n"


def test_headless() -> None:
    """One prompt that cannot be taken for an option, events as JSON, and nobody is asked."""
    assert Opencode().launch(run_of("--help")).argv == (
        *("/agents/agent", "run", "--model", f"cab/{MODEL}"),
        *("--format", "json", "--auto", "--", "--help"),
    )


def test_one_model() -> None:
    """Titles are made by the main model, and no other provider is known."""
    config = config_of()

    assert config["model"] == config["small_model"] == f"cab/{MODEL}"
    assert config["enabled_providers"] == ["cab"]
    assert list(config["provider"]["cab"]["models"]) == [MODEL]


@pytest.mark.parametrize(
    ("dialect", "library"),
    [
        (None, "@ai-sdk/openai-compatible"),
        ("chat.completions", "@ai-sdk/openai-compatible"),
        ("responses", "@ai-sdk/openai"),
        ("messages", "@ai-sdk/anthropic"),
    ],
)
def test_dialects(dialect: Endpoint | None, library: str) -> None:
    """The library decides what is spoken; the base URL is the same for all."""
    provider = config_of(dialect)["provider"]["cab"]

    assert provider["npm"] == library
    assert provider["options"]["baseURL"] == f"{URL}/v1"


def test_key_by_environment() -> None:
    """The configuration names the variable that holds the key, not the key."""
    launch = Opencode().launch(run_of())

    assert config_of()["provider"]["cab"]["options"]["apiKey"] == "{env:CAB_CELL_KEY}"
    assert launch.env["CAB_CELL_KEY"] == "the-cell-key"


def test_no_other_hosts() -> None:
    """Updates, price lists and language servers are off; the library for plug-ins counts as there."""
    launch = Opencode().launch(run_of())
    lock = orjson.loads(launch.files[".config/opencode/package-lock.json"])

    assert config_of()["autoupdate"] is False
    assert config_of()["share"] == "disabled"
    for switch in ("AUTOUPDATE", "LSP_DOWNLOAD", "MODELS_FETCH", "SHARE"):
        assert launch.env[f"OPENCODE_DISABLE_{switch}"] == "1"
    assert "@opencode-ai/plugin" in lock["packages"][""]["dependencies"]
    assert any("node_modules/" in name for name in launch.files)


@pytest.mark.parametrize(
    "event", ['{"type": "step_finish"}', step(cache=None), '{"type": "step_finish", "part": {}}']
)
def test_step_without_count(event: str) -> None:
    """A step that says nothing of tokens is an error."""
    with pytest.raises(BadSelfReport, match="no object"):
        read_report(event)


COUNTS = st.integers(0, 10**9)


@given(st.lists(st.tuples(st.integers(1, 10**9), *[COUNTS] * 4), min_size=1))
def test_sum(steps: list[tuple[int, int, int, int, int]]) -> None:
    """Whatever opencode counts, the prompt has all that was sent, the completion all that came."""
    text = "".join(
        step(input=fresh, output=output, reasoning=thought, cache={"read": read, "write": written})
        for fresh, read, written, output, thought in steps
    )
    report = read_report(text)

    assert report is not None
    assert report.prompt_tokens == sum(sum(each[:3]) for each in steps)
    assert report.completion_tokens == sum(sum(each[3:]) for each in steps)
