"""Gemini CLI: its command line and settings, and its own token count."""

from typing import Any

import orjson
import pytest

from cab.adapters.agents.gemini_cli import GeminiCli
from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport
from tests.adapters.agents.recorded import MODEL, URL, printed, run_of


def read_report(text: str) -> SelfReport | None:
    """Return the report of an output."""
    return GeminiCli().self_report(printed(text))


def stats(**models: dict[str, Any]) -> str:
    """Return what it prints for these models' tokens."""
    inside = {name: {"tokens": tokens} for name, tokens in models.items()}
    return orjson.dumps({"response": "x", "stats": {"models": inside}}).decode()


def test_headless() -> None:
    """One prompt that cannot be taken for an option, the model, and nobody is asked."""
    launch = GeminiCli().launch(run_of("--help"))
    assert launch.argv == (
        *("/agents/agent", "--yolo", "--model", MODEL, "--output-format", "json"),
        "--prompt=--help",
    )
    assert launch.env["GOOGLE_GEMINI_BASE_URL"] == URL


def test_no_other_hosts() -> None:
    """Updates, statistics and telemetry are off."""
    said = orjson.loads(GeminiCli().launch(run_of()).files[".gemini/settings.json"])
    assert said["general"]["enableAutoUpdate"] is False
    assert said["privacy"]["usageStatisticsEnabled"] is False
    assert said["telemetry"]["enabled"] is False


def test_one_model() -> None:
    """Its side calls and its subagents have the model of the run."""
    said = orjson.loads(GeminiCli().launch(run_of()).files[".gemini/settings.json"])
    aliases = said["modelConfigs"]["customAliases"]
    assert {"gemini-3-flash-base", "loop-detection-double-check", "classifier"} <= set(aliases)
    for alias in aliases.values():
        assert alias == {"extends": "base", "modelConfig": {"model": MODEL}}
    subagents = said["agents"]["overrides"]
    assert "codebase_investigator" in subagents
    for subagent in subagents.values():
        assert subagent == {"modelConfig": {"model": MODEL}}


def test_all_models_count() -> None:
    """A second model's tokens are added: 3 + 5 sent, 1 + 2 + 4 received."""
    text = stats(
        a={"prompt": 3, "candidates": 1, "thoughts": 2},
        b={"prompt": 5, "candidates": 4, "thoughts": 0},
    )
    report = read_report(f"a warning\n{text}")
    assert report is not None
    assert (report.prompt_tokens, report.completion_tokens) == (8, 7)


@pytest.mark.parametrize("text", ["", "no JSON", '{"error": {}}', stats()])
def test_no_statistics(text: str) -> None:
    """Without statistics, or with empty ones, there is no count."""
    assert read_report(text) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"stats": ',
        '{"stats": 1}',
        '{"stats": {"models": {"m": {}}}}',
        stats(m={"prompt": 3, "candidates": 1}),
    ],
)
def test_odd_statistics(text: str) -> None:
    """Broken or incomplete statistics are an error, not a guess."""
    with pytest.raises(BadSelfReport):
        read_report(text)
