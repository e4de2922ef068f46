"""Codex: its command line and configuration, and its own token count."""

import dataclasses
import tomllib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.adapters.agents.base import RunContext
from cab.adapters.agents.codex import Codex
from cab.adapters.agents.registry import load_adapter
from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport
from tests.adapters.agents.recorded import MODEL, URL, printed, run_of


def read_report(text: str) -> SelfReport | None:
    """Return the report of an output."""
    return Codex().self_report(printed(text))


def config_of(run: RunContext) -> dict[str, Any]:
    """Return the configuration of a launch."""
    return tomllib.loads(Codex().launch(run).files[".codex/config.toml"])


def turn(**usage: object) -> str:
    """Return the event of a turn that ended."""
    whole = {
        "input_tokens": 5,
        "cached_input_tokens": 0,
        "output_tokens": 1,
        "reasoning_output_tokens": 0,
        **usage,
    }
    return f"{orjson.dumps({'type': 'turn.completed', 'usage': whole}).decode()}\n"


def test_headless() -> None:
    """One prompt that cannot be taken for an option, events as JSON, and nobody is asked."""
    assert Codex().launch(run_of("--help")).argv == (
        *("/agents/agent", "exec", "--json", "--dangerously-bypass-approvals-and-sandbox"),
        *("--skip-git-repo-check", "--", "--help"),
    )


def test_provider() -> None:
    """The run's own provider is called, with the run's model, in the one dialect that codex speaks."""
    config = config_of(run_of())

    assert config["model"] == MODEL
    assert config["model_provider"] == "cab"
    assert config["model_providers"]["cab"]["base_url"] == f"{URL}/v1"
    assert config["model_providers"]["cab"]["wire_api"] == "responses"


def test_key_by_environment() -> None:
    """The configuration names the variable that holds the key, not the key."""
    launch = Codex().launch(run_of())

    assert launch.env[config_of(run_of())["model_providers"]["cab"]["env_key"]] == "the-cell-key"


def test_no_other_hosts() -> None:
    """Updates, analytics, apps, plug-ins and searches are off."""
    config = config_of(run_of())

    assert config["check_for_update_on_startup"] is False
    assert config["analytics"]["enabled"] is False
    assert config["otel"]["exporter"] == "none"
    assert not any(config["features"].values())
    assert config["web_search"] == "disabled"


def test_websocket() -> None:
    """The variant differs in one line of the provider; its count lacks the warm-up, so it is not exact."""
    plain, variant = Codex(), load_adapter("cab.adapters.agents.codex:codex_over_websocket")
    config = tomllib.loads(variant.launch(run_of()).files[".codex/config.toml"])
    provider = config["model_providers"]["cab"]
    report = variant.self_report(printed(turn()))

    assert provider.pop("supports_websockets") is True
    assert config == config_of(run_of())
    assert report is not None
    assert report.exact is False
    assert read_report(turn()) == report.model_copy(update={"exact": True})
    assert "exact" not in str(variant.facts.token_report)
    assert "exact" in str(plain.facts.token_report)
    assert (variant.facts.name, variant.facts.install) == (plain.facts.name, plain.facts.install)


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_name(name: str) -> None:
    """Whatever a model is called, the configuration says so and nothing else."""
    config = config_of(dataclasses.replace(run_of(), model=name))

    assert config == {**config_of(run_of()), "model": name}


def test_several_turns() -> None:
    """Whether a second turn counts from the first or from itself is not guessed."""
    with pytest.raises(BadSelfReport, match="several turns"):
        read_report(turn() + turn())


@pytest.mark.parametrize("usage", [{"cached_input_tokens": 6}, {"reasoning_output_tokens": 2}])
def test_contradiction(usage: dict[str, object]) -> None:
    """Parts that are more than their whole are an error."""
    with pytest.raises(BadSelfReport, match="more than the whole"):
        read_report(turn(**usage))


@given(st.integers(1, 10**9), st.integers(0, 10**9))
def test_sum(sent: int, received: int) -> None:
    """Whatever codex counts is what the report says."""
    report = read_report(
        turn(
            input_tokens=sent,
            cached_input_tokens=sent,
            output_tokens=received,
            reasoning_output_tokens=received,
        )
    )

    assert report is not None
    assert (report.prompt_tokens, report.completion_tokens) == (sent, received)
