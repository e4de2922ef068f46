"""openhands, headless: the settings are a file in the run's own HOME.

It takes them from the environment as well, but hands its whole environment to tmux, word by word on
command lines, which any process may read: the key must not be there.
"""

from typing import Any

import orjson

from cab.adapters.agents.base import AgentFacts, Launch, Output, PyPIInstall, RunContext
from cab.adapters.agents.session_json import as_object, kept_objects, objects_of
from cab.adapters.agents.usage_reports import KEPT, Object, ReportedTokens, add_up, count, member
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
            "Its public skills are not fetched: they change from day to day.",
            "It asks PyPI for a newer version of itself at its start, and has no switch for that.",
        ),
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line, environment and settings of one task."""
        argv = (str(run.executable), "--headless", "--always-approve", f"--task={run.prompt}")
        env = {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "OPENHANDS_SUPPRESS_BANNER": "1",
            # There is no switch for the skills: git is told that they are where nothing is.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "url./nowhere/.insteadOf",
            "GIT_CONFIG_VALUE_0": _SKILLS,
        }
        return Launch(argv, env, {_SETTINGS: orjson.dumps(_settings(run)).decode()})

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sum over the models of the conversation that it keeps."""
        parts = [
            _tokens(as_object(metrics, usage_id, _NAME))
            for state in kept_objects(output.home, _STATES, _NAME)
            for usage_id, metrics in _usages(state).items()
        ]
        total = add_up([part for part in parts if part is not None])
        return total.report(source=KEPT) if total.prompt else None


def _settings(run: RunContext) -> dict[str, Any]:
    """Return the agent that openhands itself would make of the model, as it would keep it."""
    llm = {"model": f"openai/{run.model}", "api_key": run.key, "base_url": f"{run.base_url}/v1"}
    return {
        "kind": "Agent",
        "llm": {**llm, "usage_id": "agent"},
        "system_prompt_kwargs": {"cli_mode": True},
        # It sums up long conversations, with the same model.
        "condenser": {
            "kind": "LLMSummarizingCondenser",
            "llm": {**llm, "usage_id": "condenser"},
            "max_size": 80,
            "keep_first": 4,
        },
    }


def _usages(state: Object) -> Object:
    """Return what the agent, the summing-up of long conversations and sub-agents used."""
    return member(member(state, "stats", _NAME), "usage_to_metrics", _NAME)


def _tokens(metrics: Object) -> ReportedTokens | None:
    """Return what was used in one role; None if that made no call.

    Raises:
        BadSelfReport: An answer has no count, or the sum is another one than that of its parts.
    """
    answers = objects_of(metrics, "response_latencies", _NAME)
    counted = [_count(usage) for usage in objects_of(metrics, "token_usages", _NAME)]
    if len(counted) != len(answers):
        raise BadSelfReport(f"{_NAME} counts tokens for {len(counted)} of {len(answers)} answers")
    if not counted:
        return None
    total = _count(member(metrics, "accumulated_token_usage", _NAME))
    if total != add_up(counted):
        raise BadSelfReport(f"{_NAME} counts {total}, and its answers make {add_up(counted)}")
    return total


def _count(usage: Object) -> ReportedTokens:
    return ReportedTokens(
        *(count(usage, key, _NAME) for key in ("prompt_tokens", "completion_tokens"))
    )
