"""openhands, headless: the settings are a file in the run's own HOME.

It reads them from the environment too, but passes its environment to tmux on command lines, which any
process may read: the key must not be there.
"""

from typing import Any

import orjson

from cab.adapters.agents.base import (
    AgentFacts,
    Launch,
    Output,
    PyPIInstall,
    RunContext,
    UserStart,
    Wiring,
)
from cab.adapters.agents.session_files import session_objects
from cab.adapters.agents.usage_reports import (
    SESSION,
    Object,
    ReportedTokens,
    add_up,
    as_object,
    member,
    objects_of,
    read_tokens,
)
from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport

_NAME = "openhands"
_SETTINGS = ".openhands/agent_settings.json"
_STATES = ".openhands/conversations/*/base_state.json"
_SKILLS = "https://github.com/OpenHands/extensions"


class Openhands:
    """The OpenHands CLI from PyPI."""

    facts = AgentFacts(
        name=_NAME,
        version="1.16.0",
        dialects=("chat.completions",),
        install=PyPIInstall("openhands", "openhands", python_min=(3, 12), python_below=(3, 13)),
        token_report="session file, exact but for attempts that broke off",
        image="codingagentbench/openhands",
        notes=(
            "Its public skills are not downloaded: they change from day to day.",
            "It asks PyPI for a newer version of itself at its start, and has no switch for that.",
        ),
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line, environment and settings of one task."""
        argv = (str(run.executable), "--headless", "--always-approve", f"--task={run.prompt}")
        env = {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "OPENHANDS_SUPPRESS_BANNER": "1",
            # There is no switch for the skills: git is redirected to a place that does not exist.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "url./nowhere/.insteadOf",
            "GIT_CONFIG_VALUE_0": _SKILLS,
        }
        return Launch(argv, env, {_SETTINGS: orjson.dumps(_settings(run)).decode()})

    def wire(self, start: UserStart) -> Wiring | None:
        """Return variables that win over its settings; the model comes from LLM_MODEL."""
        if "openai" not in start.apis:
            return None
        url, key = start.apis["openai"]
        env = {"LLM_BASE_URL": f"{url}/v1"}
        env |= {} if key is None else {"LLM_API_KEY": key}
        return Wiring(("--override-with-envs",), env)

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sum over the models of the conversations that it stores."""
        parts = [
            _tokens(as_object(metrics, usage_id, _NAME))
            for state in session_objects(output.home, _STATES, _NAME)
            for usage_id, metrics in _usages(state).items()
        ]
        total = add_up([part for part in parts if part is not None])
        return total.report(source=SESSION) if total.prompt else None


def _settings(run: RunContext) -> dict[str, Any]:
    """Return the settings that openhands itself would store for the model."""
    llm = {"model": f"openai/{run.model}", "api_key": run.key, "base_url": run.v1_url}
    return {
        "kind": "Agent",
        "llm": {**llm, "usage_id": "agent"},
        "system_prompt_kwargs": {"cli_mode": True},
        # It summarizes long conversations, with the same model.
        "condenser": {
            "kind": "LLMSummarizingCondenser",
            "llm": {**llm, "usage_id": "condenser"},
            "max_size": 80,
            "keep_first": 4,
        },
    }


def _usages(state: Object) -> Object:
    """Return the metrics of the agent, of the summaries and of sub-agents."""
    return member(member(state, "stats", _NAME), "usage_to_metrics", _NAME)


def _tokens(metrics: Object) -> ReportedTokens | None:
    """Return the tokens of one role; None if it made no call.

    Raises:
        BadSelfReport: An answer has no count, or the total is not the sum of its parts.
    """
    answers = objects_of(metrics, "response_latencies", _NAME)
    counted = [_count(usage) for usage in objects_of(metrics, "token_usages", _NAME)]
    if len(counted) != len(answers):
        raise BadSelfReport(f"{_NAME} counts tokens for {len(counted)} of {len(answers)} answers")
    if not counted:
        return None
    total = _count(member(metrics, "accumulated_token_usage", _NAME))
    if total != add_up(counted):
        raise BadSelfReport(
            f"{_NAME} counts {total}, and the sum of its answers is {add_up(counted)}"
        )
    return total


def _count(usage: Object) -> ReportedTokens:
    return read_tokens(usage, _NAME, ("prompt_tokens",), ("completion_tokens",))
