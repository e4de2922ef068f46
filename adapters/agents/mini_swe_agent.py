"""mini-swe-agent, headless: one model, no questions, no limit that depends on a list of prices."""

from collections.abc import Iterator

from cab.adapters.agents.base import AgentFacts, Launch, Output, PyPIInstall, RunContext
from cab.adapters.agents.session_files import session_objects
from cab.adapters.agents.usage_reports import (
    SESSION,
    Object,
    ReportedTokens,
    add_up,
    as_object,
    count,
    member,
    objects_of,
    read_tokens,
)
from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport

_NAME = "mini-swe-agent"
_TRAJECTORY = ".config/mini-swe-agent/last_mini_run.traj.json"


class MiniSweAgent:
    """The mini-swe-agent CLI from PyPI."""

    facts = AgentFacts(
        name=_NAME,
        version="2.4.6",
        dialects=("chat.completions",),
        # Its litellm imports mcp without requiring it: without mcp each call fails and is repeated.
        install=PyPIInstall(
            "mini-swe-agent", "mini", python_min=(3, 10), python_below=(3, 14), extra=("mcp",)
        ),
        token_report="session file, exact but for attempts that broke off",
        notes=("Its own limit of 3 dollars for a run is off, as it needs a list of prices.",),
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line and environment of one task."""
        argv = (
            str(run.executable),
            "--yolo",
            "--exit-immediately",
            "--cost-limit=0",
            f"--model=openai/{run.model}",
            f"--task={run.prompt}",
        )
        env = {
            "OPENAI_API_BASE": run.v1_url,
            "OPENAI_API_KEY": run.key,
            # The list of prices would be downloaded from another host; a model without a price ends a run.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "MSWEA_COST_TRACKING": "ignore_errors",
            # The first start asks for a model and a key.
            "MSWEA_CONFIGURED": "true",
        }
        return Launch(argv, env)

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sum over the answers in the trajectory that it stores."""
        for trajectory in session_objects(output.home, _TRAJECTORY, _NAME):
            return read_report(trajectory)
        return None


def read_report(trajectory: Object) -> SelfReport | None:
    """Return the sum over all answers in a trajectory; None if there are none.

    Raises:
        BadSelfReport: An answer has no count, or there are more answers than calls.
    """
    calls = count(
        member(member(trajectory, "info", _NAME), "model_stats", _NAME), "api_calls", _NAME
    )
    parts = list(_answers(trajectory))
    if len(parts) > calls:
        raise BadSelfReport(f"{_NAME} counts {calls} calls and has {len(parts)} answers")
    # A call without an answer may have been charged.
    return add_up(parts).report(source=SESSION, exact=len(parts) == calls) if parts else None


def _answers(trajectory: Object) -> Iterator[ReportedTokens]:
    # An answer that it could not use is stored with the message that says so.
    for message in objects_of(trajectory, "messages", _NAME):
        extra = as_object(message.get("extra", {}), "extra", _NAME)
        if "response" in extra:
            usage = member(member(extra, "response", _NAME), "usage", _NAME)
            tokens = read_tokens(usage, _NAME, ("prompt_tokens",), ("completion_tokens",))
            yield tokens.nonzero(_NAME)
